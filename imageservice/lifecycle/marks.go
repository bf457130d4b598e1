package lifecycle

// Files in the folder of a container that is being made. Whoever finds one at the daemon's
// start finds what a crash has cut short.
const (
	// CreatingMark is there from before the container has a layer until it is registered.
	CreatingMark = "baleen-creating"
	// RestoringMark is there from before there is anything of a container that a
	// checkpoint is restored to until it has been started.
	RestoringMark = "baleen-restoring"
)
