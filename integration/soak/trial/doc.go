// Package trial puts random operations on overlay mounts and checks that what
// becomes of them is what they were.
//
// A [Plan] has an image of some layers, made by operations, perhaps sealed
// uppers on top, and a live upper. An [Engine] seals the live one, packs the
// result as a layer and unpacks that. Then the live merged view, the image with
// the sealed upper and the image with the unpacked one must be equal, by
// [compare.Trees]; so must be what containerd's applier unpacks.
//
// The check knows nothing of what the operations mean: whatever the kernel
// shows is right. A plan that fails can be shortened with [Minimise]; a [Series]
// of trials does so.
//
// Three things may differ: the time of the root, sockets, and hard links between
// an image's files of which some are in a directory that was renamed (mount
// option redirect_dir).
//
// Mounts are made in the process's own mount namespace: see package mountns.
package trial
