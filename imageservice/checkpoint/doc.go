// Package checkpoint makes checkpoints of a daemon's containers, and containers of
// checkpoints.
//
// A checkpoint is an image that holds a container's files and configuration, and its
// processes if asked to. Package image, below, reads and writes these images; this
// package does what concerns the daemon's containers. A [Maker] pauses the container, has its
// processes dumped, and ends them when the checkpoint is whole. A [Restorer] creates the
// container of a checkpoint and starts it. Both work by small roles that the daemon's
// glue implements.
//
// # What it promises
//
// A checkpoint that fails leaves the container as it was, running if it ran. A restore
// that fails, or panics, leaves nothing; what a crash cuts short the next start of the
// daemon removes (package unfinished). A restore goes on without its client once the
// container is created.
//
// # How a restore gets its layer
//
// The daemon makes a container's writable layer in the middle of its creation. The glue
// calls [NewLayer] there. The context of the creation says whether it is a restore, and
// of which checkpoint.
package checkpoint
