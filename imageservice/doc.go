// Package imageservice is the front desk: [Service] implements Moby's
// daemon.ImageService on containerd.
//
// Verbs that Baleen does better are its own, one file each: committing a
// container or a build step, creating, finding and releasing a container's
// layer, its changes and its size. All others go to the [Upstream] service,
// Moby's own, which works on the same containerd.
//
// # What it promises
//
// Every operation that writes holds one lease, which lives exactly as long as
// the operation, so garbage collection takes nothing from under it. An
// operation that fails leaves no lease, snapshot, ingest, mount or image
// record; what a crash left is removed at the next start.
//
// Containers are stored as Moby stores them: an active snapshot named after
// the container, on a committed "<id>-init", held by a lease of the
// container's name. A data root can go from Moby to Baleen and back.
package imageservice
