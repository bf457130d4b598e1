// Package diff says what a layer is: its digests, how its tar stream marks what is
// gone, how large it may be, and the errors of those who read and write layers. The
// packages below it do the work.
//
// A layer is a tar stream of changes against a parent, kept as a blob, usually
// compressed; its diffID is the digest of the stream before compression. A
// layer without changes is [Layer.Empty] and never becomes part of an image.
//
// An overlay keeps a container's changes in one folder, its upper, above the
// folders of the image, its lowers:
//
//   - changes reads the upper, or a stack of them, and tells what it changes: only
//     what stands in the uppers, and at the same paths below, is looked at.
//   - merge takes a container's changes over to another image.
//   - tarlayer makes layers: of changes where they lie, of a sealed upper, which holds
//     just what a layer carries, and of whole trees by containerd's walking differ,
//     which compares two merged trees, at a cost that follows the image, and takes a
//     file whose size and time are unchanged for unchanged.
//   - apply unpacks layers.
//   - compare checks that two trees are alike in all that a layer carries.
//   - differ offers tarlayer and apply to containerd.
//
// They stand on compress (gzip and zstd), dirtree (walks and removes plain trees),
// xattr and idmap (what a layer carries besides names and contents, and whose it is),
// inode (tables of files), and on internal packages. Imports point in that order, and
// those of one line do not know each other.
//
// # What they promise
//
// Trees are read by descriptors, name by name: a container that runs meanwhile
// cannot lead the reader out of its own folders. Memory does not grow with the
// number of files. What is not understood is [ErrUnsupported], never left out.
// Layers whose owners are ids outside of a user namespace are read as if they
// were those inside.
package diff
