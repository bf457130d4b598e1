package label

// Labels of all snapshots of a container.
const (
	// Container, on all snapshots but those made at birth, has the container's id.
	Container = "io.baleen.container"
	// Size, on a sealed snapshot, is what it takes on disk, in bytes, once measured.
	Size = "io.baleen.size"
	// Unmeasured, on a sealed snapshot, says that the snapshotter does not know what
	// it takes on disk.
	Unmeasured = "io.baleen.unmeasured"
	// Packed, on a sealed snapshot, is the layer that it was packed as, as JSON: what
	// it changes of all below it, which stays for good as the snapshot does. The label
	// does not keep the blob, which is there as long as a checkpoint has it.
	Packed = "io.baleen.packed"
)

// Labels of revisions.
const (
	// Record has the digest of the blob that describes the revision.
	Record = "io.baleen.revision"
	// Previous has the number of the revision that this one was made from.
	Previous = "docker.com/revision.previous"
	// Image has the digest of the image of the revision.
	Image = "docker.com/revision.image"
	// UnfitRoot says why the attributes of the revision's root directory cannot be
	// copied: nobody can go back to it.
	UnfitRoot = "io.baleen.unfit-root"
	// Retired, on a layer that was a revision before that was pruned, says what is still to
	// be known of it, as JSON.
	Retired = "io.baleen.retired"
	// HostIDs is the mapping in which the files still have the host's ids, as UIDS
	// GIDS. Recovery gives them the image's.
	HostIDs = "io.baleen.host-ids"
)

// Intent, on a snapshot, says what an operation is doing with it, as snap.Intent.
const Intent = "io.baleen.intent"

// Labels by which earlier versions told what an operation is doing. They are read, and
// taken off, and not written any more.
const (
	// OldPending is on a revision, and its init layer, made for a move that is not done.
	OldPending = "io.baleen.pending"
	// OldFilling is on a revision whose folder is being exchanged for the container's. Its
	// value is also that of an attribute of the folder that is empty.
	OldFilling = "io.baleen.filling"
	// OldNext, on the snapshot that a container is to stand on, has the container's id.
	// OldNextState and OldNextProject have the State and Project that the active snapshot is
	// to get there, if any.
	OldNext        = "io.baleen.next"
	OldNextState   = "io.baleen.next.state"
	OldNextProject = "io.baleen.next.project"
)

// Labels of active snapshots.
const (
	// State has the digest of the record of what the container moved to.
	State = "io.baleen.state"
	// Last has the highest number ever used.
	Last = "io.baleen.last"
	// Project has the number of the project that what the container writes counts for.
	Project = "io.baleen.project"
	// Noted says that whoever mounts the snapshot notes so: it is known whether
	// anything was written to it.
	Noted = "io.baleen.noted"
)

// IDs, on an init layer, says how the ids of the layers above it are mapped: as WAY
// UIDS GIDS.
const IDs = "io.baleen.ids"

// Labels of the snapshots of containers that were made with containerd's client.
const (
	// Number has the number of the revision, which the active snapshot is too.
	Number = "io.baleen.number"
	// Unwritten is on a snapshot that the container's record may not have yet. Its
	// value is the time until which nobody else may think it given up.
	Unwritten = "io.baleen.unwritten"
	// Claim, on an empty snapshot by which one mover keeps others away, has its number.
	Claim = "io.baleen.claim"
	// Paused, on an active snapshot, says that a checkpoint has paused the container to
	// read its files. Its value is the time until which nobody else may resume it.
	Paused = "io.baleen.paused"
)

// Labels by which a snapshot keeps content, as containerd's garbage collector reads them.
const (
	RefRecord = "containerd.io/gc.ref.content.revision"
	RefState  = "containerd.io/gc.ref.content.state"
	RefImage  = "containerd.io/gc.ref.content.image"
)

const (
	// RefSnapshot begins the labels by which a snapshot keeps another one. The name of
	// the snapshotter follows.
	RefSnapshot = "containerd.io/gc.ref.snapshot."
	// OfSnapshotter begins the labels that snapshotters read.
	OfSnapshotter = "containerd.io/snapshot/"
)
