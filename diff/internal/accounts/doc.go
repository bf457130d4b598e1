// Package accounts merges the files that list users and groups, such as /etc/passwd, by
// the names in them.
//
// Three files meet: the old image's, the container's and the new image's. A name of which
// only one side changed the lines gets that side's. A name that both changed, and not
// alike, is a [Conflict], and so is an id that one side gave to one name and the other to
// another name.
package accounts
