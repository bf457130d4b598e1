// Package inode keeps facts about files by their inodes, in memory of a fixed size.
//
// A container decides how many files with several names it makes. What is to be known
// of each of them until its last name has been met is therefore kept in a few MiB of
// memory at most, and beyond that in temporary files without a name, in [os.TempDir].
// There it takes about 50 to 100 bytes for a file, beside its name; a directory that
// holds the first name of a file takes its path once, up to 4 KiB.
//
// A [Table] maps inodes to two numbers. [Names] keeps paths of any length, to which a
// number leads. [Links] is both: it tells under which name a walk has met a file first.
//
// The zero values are ready for use, and take nothing until something is put into them.
// They are for one goroutine each, and must be closed. Errors are about temporary files,
// and are errdefs' ErrInternal.
package inode
