// Package idmap maps the ids of a user namespace to those outside and back.
//
// A [Map] is what the mount options uidmap and gidmap of containerd say; a [Func] is
// one direction of it, for those who read or write owners.
package idmap
