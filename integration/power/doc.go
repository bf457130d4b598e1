// Package power cuts the power of a disk.
//
// A [Disk] is a file system in a file that is mounted by a loop device: the file
// holds what a disk would hold that writes at once what it is given, and nothing
// of what the kernel still keeps back. The file lies on an XFS, for that can
// clone it at one moment while it is being written; and the XFS lies in memory.
// So a cut is a clone: the machine goes on, and its disk as the cut left it can
// be mounted beside it, or later in its place.
//
// # Caveats
//
// The disk has no cache of its own, so it never loses or reorders what it was
// given: a file system that does not flush that cache is not found out.
//
// All is in memory, also what the clones do not share with the disk.
//
// Whoever copies the caller's mount namespace meanwhile keeps the memory until
// that namespace goes.
package power
