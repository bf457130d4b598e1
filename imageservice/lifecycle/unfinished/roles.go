package unfinished

import (
	"context"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/moby"
)

// Containers are those that the daemon has loaded.
type Containers interface {
	// Get finds a container by its id; nil if there is none.
	Get(id string) *moby.Container
	List() []*moby.Container
}

// Users are all who use images: the daemon's containers, and their revisions.
type Users interface {
	// First finds one that a filter accepts; nil if there is none.
	First(accept moby.ContainerFilter) *moby.Container
}

// Layers are the layers of containers. The Service of package imageservice has them.
type Layers interface {
	StorageDriver() string
	// GetLayerByID finds the layer of a container. If there is none the error is of the
	// class not found.
	GetLayerByID(id string) (moby.RWLayer, error)
	// Mounted reports whether the root of a container is mounted.
	Mounted(id string) (bool, error)
	// DropLayer removes the layer of a container, if there is one.
	DropLayer(ctx context.Context, id string) error
	// MendRestores removes the image records that interrupted restores have made, but
	// for those that are used.
	MendRestores(ctx context.Context, used func(manifest digest.Digest) bool) error
}

// Daemon changes containers of the daemon. No container is locked but by Unmount's
// caller.
type Daemon interface {
	// LoadTask looks up containerd's container and task, for the container's record. If
	// there is no container the error is of the class not found.
	LoadTask(ctx context.Context, c *moby.Container) error
	// Unmount unmounts the root of a container, which is locked.
	Unmount(c *moby.Container) error
	// Remove removes a container by force, with its volumes.
	Remove(c *moby.Container) error
	// RemoveUnregistered is Remove for a container that is not among the daemon's.
	RemoveUnregistered(c *moby.Container) error
}

// Cleaner removes what was left unfinished.
type Cleaner struct {
	Containers Containers
	Users      Users
	Layers     Layers
	Daemon     Daemon
	Folder     string // has the folder of each container

	sleep func(time.Duration) // nil for time.Sleep
}

// ProcessFolder is the name of a folder below the folder of a container's checkpoints.
// The processes of a restored container are restored from it.
const ProcessFolder = "baleen-restored"

func processFolder(c *moby.Container) string { return filepath.Join(c.CheckpointDir(), ProcessFolder) }
