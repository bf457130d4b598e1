// Package snapshotter is the workshop: it makes snapshots out of layers, and
// maps the ids of a tree into a user namespace and back.
//
// A snapshot is committed under the chainID of its layers, so that whoever
// needs the same layers finds them there. [Apply] adds one layer to a chain;
// it is safe to call for the same layer from several places at once.
//
// [Seal] makes one of a container's changes for an image, and [SealWhole] for a revision.
// [SealLive] seals a running container again and again, and copies each time what has
// changed since.
// Sealed files never change, so [SealBelow] shares large ones by links; what can be
// written is copied.
// [NewProject] limits what is written to a snapshot.
//
// A user namespace has its ids either mapped when a snapshot is mounted
// ([MappedLabels], where [MapsByMount] says so), or once for all containers of an
// image in a copy of its snapshot ([Remapped]). All changes of owners are made by
// one walk, which visits a file once and gives back what the kernel takes from
// one that changes its owner. It goes by descriptors, so no path is too long.
package snapshotter
