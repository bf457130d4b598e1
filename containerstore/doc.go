// Package containerstore is the registry of containers: which image a
// container stands on, and what its file system is made of.
//
// A container's base is the manifest and config of the image that it was
// created from, for the container's own platform; see [ReadBase].
package containerstore
