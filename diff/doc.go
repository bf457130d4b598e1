// Package diff is the scales: it weighs what a container changed and turns it
// into a layer.
//
// A layer is a tar stream of changes against a parent, kept as a blob, usually
// compressed; its diffID is the digest of the stream before compression. A
// layer without changes is [Layer.Empty] and never becomes part of an image.
//
// An overlay keeps a container's changes in one folder, its upper, above the
// folders of the image, its lowers. [Container.Walk] reads the upper, or a stack
// of them, and tells what it changes: only what stands in the uppers, and at the
// same paths below, is looked at. [WriteLayer] and [Pack] turn a sealed upper,
// which holds just what a layer carries, into a layer. [Walk] is for everything
// else: containerd's walking differ compares two merged trees, at a cost that
// follows the image, and takes a file whose size and time are unchanged for
// unchanged. [Merge] takes a container's changes over to another image.
//
// # What it promises
//
// Trees are read by descriptors, name by name: a container that runs meanwhile
// cannot lead the reader out of its own folders. Memory does not grow with the
// number of files. What is not understood is [ErrUnsupported], never left out.
// [CompareTrees] checks that two trees are alike in all that a layer carries.
// Layers whose owners are ids outside of a user namespace are read as if they
// were those inside ([Overlay.IDs]).
package diff
