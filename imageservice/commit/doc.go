// Package commit makes images of containers, and merges the layers of images: [Maker].
//
// A commit has five phases, which files here are named after. Metrics, spans and the log
// use the same words.
//
//   - look: find the container's image, and the folders that hold what the container wrote.
//   - seal: copy what the container changed into a new snapshot on the image's, while the
//     container is frozen.
//   - thaw: let the container go on.
//   - ship: make the layer from the sealed snapshot, pack it, and store it in containerd.
//   - publish: commit the snapshot under the name of its layers, store configuration and
//     manifest, and make the record of the image.
//
// A container that is switched to other files while it is read is read again. A container
// whose folders do not tell what it changed is committed by comparing whole trees.
//
// Each operation holds one lease from its begin to its end. An operation that fails leaves
// no snapshot, blob or record.
package commit
