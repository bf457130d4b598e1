// Package apply unpacks layers into directories.
//
// [ToDir] unpacks into a folder: a tree of its own, or the upper of an overlay, where
// deletions become the overlay's marks. [ToMounts] finds that folder by the mounts of
// a snapshot.
//
// A layer is hostile input. Nothing outside of the folder is touched, whatever the
// stream says: directories are opened by openat2 without following links, and links are
// resolved name by name with the folder as root. Its size and number of entries are bounded by a diff.Limit. The error
// of a stream that is not a layer is errdefs' ErrInvalidArgument.
package apply
