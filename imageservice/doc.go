// Package imageservice implements Moby's daemon.ImageService on containerd: [Service].
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
// container's name. An image that is mounted for a container is an active snapshot
// "<id>-mount-<random>" on the image, held by a lease of that name, and is released
// with the container. A data root can go from Moby to Baleen and back.
//
// # Start and life
//
// [New] deletes the leases of operations that a crash cut short, lets the containers go on
// that they had frozen, unmounts what was mounted for a time, and notes the containers
// whose moves were cut short. [Service.LoadLayer], and [Service.GetLayerByID] without a
// container, then find the layer of each container that Moby loads: they make folders
// again that a power cut took, and complete or take back the move ([Service.State] says
// what the container is then). [Service.Shutdown] ends what is under way.
//
// Package commit has the phases of a commit. docs/architecture.md tells them, the life of a
// revision and the labels.
//
// # Revisions
//
// A container's states can be kept ([Service.Snapshot]), and it can move: to
// another image with what it wrote merged in ([Service.PrepareUpgrade]), or to
// a kept state ([Service.PrepareRollback]). A [Move] is prepared, with a plan,
// and then run or abandoned. Package containerstore keeps the files; Docker's
// own record of the container is the daemon's to write, from [Service.State].
//
// One operation at a time changes a container's revisions; a second is a
// conflict. While Run replaces the active snapshot, others wait who look the
// container up. Whoever reads the files meanwhile reads the state that they
// began with.
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
//
// # Limits
//
// Changes are merged by reading layers, so upgrades and Carry need an overlay
// snapshotter; keeping and going back do not.
//
// # User namespaces
//
// With a mapping of ids (--userns-remap) a container's layers are mapped when
// they are mounted, where snapshotter, kernel and file system can; else it stands
// on a copy of the image whose files have other owners, made once for each image.
// Either way creating a container costs no more for a large image, and commits
// read its upper. Containers whose files all got other owners when they were
// created, by Moby or an earlier version, go on as they are: they are committed
// by comparing whole trees.
package imageservice
