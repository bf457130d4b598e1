// Package dump reads files for tests that compare them. It uses plain system calls, and
// nothing of the packages that are tested: a namespace of extended attributes that a
// commit forgets, for example, is found here all the same.
//
// [Files] lists a tree, [Attributes] the extended attributes of a file. [MayDiffer] is the
// list of attributes that two equal files need not share.
package dump
