// Package xattr reads the extended attributes that layers carry.
//
// [Carried] is the list of them: file capabilities, POSIX access control lists, and
// the user's own. [ReadCarried] reads those of a file in the form in which a layer has
// them; [MapACL] maps the ids in access control lists. Values and their number are
// bounded by what the kernel takes and what readers of layers take.
package xattr
