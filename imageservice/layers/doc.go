// Package layers makes, finds, mounts and releases the writable layers of containers, and
// unpacks the images that they stand on: [Store].
//
// Containers are stored as Moby stores them: an active snapshot named after the container,
// on a committed "<id>-init", held by a lease of the container's name. An image that is
// mounted for a container is an active snapshot "<id>-mount-<random>" on the image, held by
// a lease of that name, and is released with the container. A data root can go from Moby to
// Baleen and back.
//
// A layer is lost if its files cannot be used, as after a power cut. Its container is
// loaded nevertheless, and can be removed.
//
// # User namespaces
//
// With a mapping of ids (--userns-remap) a container's layers are mapped when they are
// mounted, where snapshotter, kernel and file system can; else it stands on a copy of the
// image whose files have other owners, made once for each image. Either way creating a
// container costs no more for a large image, and commits read its upper. Containers whose
// files all got other owners when they were created, by Moby or an earlier version, go on as
// they are: they are committed by comparing whole trees.
package layers
