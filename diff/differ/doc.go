// Package differ is diff/ in the form of containerd's differ, for any client of
// containerd: `docker commit` of a stock dockerd, nerdctl, BuildKit's exporters
// or `ctr snapshots diff`, and whatever unpacks images.
//
// [Differ.Compare] looks at where the files of both sides lie. If the upper side
// is the lower one with folders on top, which is so for an active or committed
// snapshot and its parent on an overlay, those folders tell the changes, and
// only they are read. Nothing is mounted: a container may go on using the
// overlay. The layer is, byte for byte, the one that Baleen's image service makes
// of the same upper.
//
// [Differ.Apply] unpacks with the promises of [apply.ToDir], into the upper of an
// overlay or what a bind mount shows, without mounting it.
//
// Snapshots whose mounts do not tell the changes are left to containerd's own
// walking differ, and layers of other media types to its applier with its stream
// processors, at their cost and with their blind spots. A line of the log says so
// and why.
//
// # Caveats
//
// gzip packs at level 1, where containerd's own differ packs at 6 with one thread:
// source code comes out an eighth larger.
//
// A file that changes while it is read makes Compare start again, and fail after
// three times: pause the container. A name that begins with ".wh." is refused
// ([diff.ErrReserved]), where the walking differ writes it and so deletes
// something.
//
// It stands below diff/ because it needs that package and nothing else of ours,
// and apart from it because containerd's differ and archive packages, which it
// falls back to, are nothing that a reader of uppers should depend on.
package differ
