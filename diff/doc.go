// Package diff is the scales: it weighs what a container changed and turns it
// into a layer.
//
// A layer is a tar stream of changes against a parent, kept as a blob, usually
// compressed; its diffID is the digest of the stream before compression. A
// layer without changes is [Empty] and never becomes part of an image.
//
// So far the changes are found by containerd's walking differ: it compares the
// two merged trees, so its cost follows the image and not the change, and it
// takes a file whose size and modification time are unchanged for unchanged.
package diff
