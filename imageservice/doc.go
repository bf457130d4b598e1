// Package imageservice implements Moby's daemon.ImageService on containerd: [Service].
//
// Verbs that Baleen does better are its own, one file each: committing a
// container or a build step, creating, finding and releasing a container's
// layer, its changes and its size. All others go to the [Upstream] service,
// Moby's own, which works on the same containerd. The work is below: package commit makes
// images of containers, layers has their writable layers, and revisions keeps their states.
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
//
// # Checkpoints
//
// [Service.Checkpoint] keeps all of a container as an image: what it changed in
// its image, that image, its configuration, and its processes if the daemon can
// dump them. It pauses for the dump and for the seal of its files. A [Restore]
// makes the image known and the layer whole before there is a container; package
// containerstore has the format. Restores at the same time share the record of an
// image that one of them has made, and the last one removes what none has needed.
// What a crash has cut short is removed at the daemon's next start, with
// [Service.DropLayer] and [Service.MendRestores].
package imageservice
