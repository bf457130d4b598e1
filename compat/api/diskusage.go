package api

// DiskUsage says what the revisions of all containers take on disk. Sizes are in bytes.
type DiskUsage struct {
	Revisions                 int
	Size, Shared, Reclaimable int64            // of all Containers
	Containers                []ContainerUsage // those with revisions, the largest first
}

// ContainerUsage says what the revisions of a container take on disk.
type ContainerUsage struct {
	ID, Name  string // of the container
	Revisions int
	// Size is that of all revisions, Shared the part of it that the container stands on,
	// and Reclaimable the rest: what a prune without limits gives back. A file that
	// several revisions share by hard links counts in each.
	Size, Shared, Reclaimable int64
	// Unmeasured is how many layers of revisions have an unknown size. They count nothing.
	Unmeasured int `json:",omitempty"`
	// Error says why the revisions could not be looked at.
	Error string `json:",omitempty"`
}
