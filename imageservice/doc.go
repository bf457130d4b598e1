// Package imageservice implements Moby's daemon.ImageService on containerd: [Service].
//
// Verbs that Baleen does better are its own, one file each: committing a
// container or a build step, creating, finding and releasing a container's
// layer, its changes and its size. All others go to the [Upstream] service,
// Moby's own, which works on the same containerd. The work is below: package commit makes
// images of containers, layers has their writable layers, revisions keeps their states, and
// checkpoint/image makes and reads checkpoints.
//
// # What it promises
//
// Every operation that writes holds one lease, which lives exactly as long as
// the operation, so garbage collection takes nothing from under it. An
// operation that fails leaves no lease, snapshot, ingest, mount or image
// record; what a crash left is removed at the next start.
//
// # Start and life
//
// [New] deletes the leases of operations that a crash cut short, lets the containers go on
// that they had frozen, unmounts what was mounted for a time, and notes the containers
// whose moves were cut short. [revisions.Store.LoadLayer], and [Service.GetLayerByID]
// without a container, then find the layer of each container that Moby loads: they make
// folders again that a power cut took, and complete or take back the move
// ([revisions.Store.State] says what the container is then). [Service.Shutdown] ends what is
// under way.
//
// docs/architecture.md tells the life of a commit and of a revision, and the labels.
package imageservice
