package lifecycle

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/check"
	"github.com/baleen-project/baleen/imageservice/internal/pause"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// Daemon is what the daemon does for its containers.
type Daemon interface {
	Lifecycle
	Records
	Volumes
	Events
}

// Lifecycle finds, stops and starts containers of the daemon. The container is not locked.
type Lifecycle interface {
	// GetContainer finds a container by its name or id. The error has the daemon's own class.
	GetContainer(name string) (*moby.Container, error)
	// Stop stops a container as docker stop does without options.
	Stop(ctx context.Context, c *moby.Container) error
	// Start starts a container as docker start does. The daemon calls
	// [Operations.MayStart] with the context that Start gets, or one made of it.
	Start(ctx context.Context, c *moby.Container) error
	// Kill kills a container as docker kill does. It returns nil if the container does
	// not run.
	Kill(ctx context.Context, c *moby.Container) error
	// IsShuttingDown reports whether the daemon has begun to shut down.
	IsShuttingDown() bool
}

// Records keeps the daemon's records of containers. The container is locked.
type Records interface {
	// Save writes a container's record to disk, and shows it to docker ps.
	Save(ctx context.Context, c *moby.Container) error
	// IsProbed reports whether the daemon runs a health check in the container.
	IsProbed(c *moby.Container) bool
}

// Volumes adds anonymous volumes to a container, and takes them off. The container is
// locked, and its root is mounted on c.BaseFS for what writes to it.
type Volumes interface {
	// MakeWorkDir makes the working directory of the container's configuration.
	MakeWorkDir(c *moby.Container) error
	// Add creates a volume, and mounts it at a path in the container's record.
	Add(ctx context.Context, c *moby.Container, path string) error
	// Fill copies into the volume at a path what the container has there.
	Fill(ctx context.Context, c *moby.Container, path string) error
	// Release keeps a volume that no mount point of the container's record names any more,
	// as one that the container does not use.
	Release(ctx context.Context, c *moby.Container, volume string) error
	// Remove removes a volume that no mount point of the container's record names.
	Remove(ctx context.Context, c *moby.Container, volume string) error
	// Unmount unmounts the container's root.
	Unmount(c *moby.Container) error
}

// Events takes what docker events shows of a container.
type Events interface {
	Log(c *moby.Container, action moby.EventAction, attributes map[string]string)
}

// Freezer freezes containers for what reads them. The Freezer of package freeze does.
type Freezer interface {
	// Pause returns what freezes a container while it is read; nil for one that is not to
	// be frozen.
	Pause(ctx context.Context, c *moby.Container) pause.Func
}

// Tasks finds containerd's tasks.
type Tasks interface {
	// Task returns the task of the container with an id. If there is no container or no
	// task the error is errdefs' ErrNotFound.
	Task(ctx context.Context, id string) (containerd.Task, error)
}

// Files is what an image service does for the files of containers.
type Files interface {
	Layers
	History
	Mover
	// Check and Shutdown are those of [*imageservice.Service].
	Check(ctx context.Context, containers check.Containers, folder string, req api.CheckRequest) (api.CheckReport, error)
	Shutdown(ctx context.Context)
}

// Layers finds and mounts the layers of containers. [*imageservice.Service] and
// [*revisions.Store] do.
type Layers interface {
	LoadLayer(ctx context.Context, c *moby.Container, init moby.InitLayerFunc) (moby.RWLayer, *revisions.State, error)
	GiveUpLost(ctx context.Context, c *moby.Container, revision int, init moby.InitLayerFunc) (bool, error)
	LoadImageMount(ctx context.Context, id string) (moby.RWLayer, error)
	IsDoubtful(layer moby.RWLayer) bool
	MountUnnoted(layer moby.RWLayer) (root string, _ error)
}

// History keeps the revisions of containers. [*revisions.Store] does.
type History interface {
	Snapshot(ctx context.Context, c *moby.Container, o revisions.SnapshotOptions) (api.Revision, error)
	Revisions(ctx context.Context, c *moby.Container) ([]api.Revision, error)
	PruneRevisions(ctx context.Context, c *moby.Container, r api.PruneRequest) (api.PruneReport, error)
	DiskUsage(ctx context.Context, c *moby.Container) (containerstore.DiskUsage, error)
	RevisionImages(ctx context.Context) ([]revisions.Image, error)
}

// Mover prepares moves of containers.
type Mover interface {
	// PrepareUpgrade and PrepareRollback are those of [*revisions.Store]. Together with
	// an error there may be a move that has a plan and nothing else.
	PrepareUpgrade(ctx context.Context, c *moby.Container, o revisions.UpgradeOptions) (*Prepared, error)
	PrepareRollback(ctx context.Context, c *moby.Container, o revisions.RollbackOptions) (*Prepared, error)
	// State is that of [*revisions.Store].
	State(ctx context.Context, id string) (*revisions.State, error)
}

// Prepared is a move whose files have been prepared.
type Prepared struct {
	Plan   api.Plan
	State  revisions.State // what the record must say after Run
	Switch                 // nil in a plan
}

// Switch gives a container other files. [*revisions.Move] does.
type Switch interface {
	// Run switches the files of a stopped container. It returns the revision that the
	// container's state has become, and the one that the container stands on.
	Run(ctx context.Context) (before, to api.Revision, err error)
	// Abandon removes what was prepared.
	Abandon(ctx context.Context) error
}
