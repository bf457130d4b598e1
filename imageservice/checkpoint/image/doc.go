// Package image makes the image that is a checkpoint of a container, and makes the files of a
// container of such an image: [Store]. Package containerstore/checkpoint has the format.
//
// [Store.Checkpoint] keeps all of a container as an image: what it changed in its image, that
// image, its configuration, and its processes if the daemon can dump them. It pauses for the
// dump and for the seal of its files. A [Restore] makes the image of the container known and
// the layer whole before there is a container.
//
// Restores at the same time share the record of an image that one of them has made, and the
// last one removes what none has needed. What a crash has cut short is removed at the
// daemon's next start, with the container's layer and [Store.MendRestores].
package image
