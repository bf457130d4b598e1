package layers

import (
	"context"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/files"
)

// Mounter mounts the root file systems of containers, and counts who uses
// each, so that one is never mounted twice. Moby's daemon/snapshotter has it.
type Mounter interface {
	Mount(mounts []mount.Mount, containerID string) (target string, err error)
	Unmount(target string) error
	files.Mounter
}

// Containers finds a container of the daemon by its full id; nil if it has
// none of that id.
type Containers interface {
	Get(id string) *moby.Container
}

// Config is what a [Store] works with. All fields but Roots, CopyIDs and Limit are needed.
type Config struct {
	Files      *files.Containers
	Blobs      *blobs.Store
	Containers Containers
	Mounter    Mounter
	Roots      string // the folder in which Mounter mounts the root of each container on its id; "" if unknown
	CopyIDs    bool   // map ids by a copy of the image even where they could be mapped by mounting
	Limit      diff.Limit
}

// Store has the writable layers of containers. The methods may be called at the same time,
// also for one container.
type Store struct {
	Config
	maps mapsByMount
	lost lostLayers
}

// New returns a store that knows of no lost layer.
func New(c Config) *Store { return &Store{Config: c} }

// background is the context of what Moby calls without one. It belongs to no request that
// could be cancelled, and does not end with the daemon's life: the daemon then gives up
// layers and unmounts them.
func background() context.Context { return context.Background() }
