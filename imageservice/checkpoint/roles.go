package checkpoint

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
)

// Operations guards containers. The Operations of package lifecycle do.
type Operations interface {
	// Do calls do with the container of a name or id, while no other operation on its
	// revisions can begin. The name of the operation has its article.
	Do(ctx context.Context, name, operation string, do func(context.Context, *moby.Container) error) error
	// UnrecordedTask finds a task that runs by containerd's record and not by the
	// daemon's; nil if there is none.
	UnrecordedTask(ctx context.Context, c *moby.Container) (containerd.Task, error)
}

// Images makes checkpoints. [*image.Store] does.
type Images interface {
	Checkpoint(ctx context.Context, c *moby.Container, o image.Options) (api.Checkpoint, error)
	// KeepPaused has the next daemon thaw the container if this one is killed before end
	// is called.
	KeepPaused(ctx context.Context, id string) (_ context.Context, end func(error), _ error)
}

// Names names images. The daemon's image service does.
type Names interface {
	TagImage(ctx context.Context, id moby.ImageID, name reference.Named) error
}

// Processes finds what containerd has of the processes of a running container.
// [ClientProcesses] returns them.
type Processes interface {
	// Spec returns the runtime spec that a container runs with, encoded as in
	// containerd's own checkpoints.
	Spec(ctx context.Context, id string) ([]byte, error)
	// Pids lists the processes of a running container.
	Pids(ctx context.Context, id string) ([]uint32, error)
	// Dump dumps the processes, which go on after that, to a blob that the lease in ctx
	// holds.
	Dump(ctx context.Context, id string) (ocispec.Descriptor, error)
}

// Defaults tells what the daemon gives to a container of which nothing is asked.
type Defaults interface {
	PlainHostConfig() (*moby.HostConfig, error)
}

// Freezer makes containers stand still. The Freezer of package freeze does.
type Freezer interface {
	// Freeze stops a container until thaw is called. Nobody must wait for the container's
	// lock before that.
	Freeze(ctx context.Context, c *moby.Container) (thaw func())
	// FreezeToEnd is Freeze for a container that is to end when it is thawed. The caller
	// may lock the container.
	FreezeToEnd(ctx context.Context, c *moby.Container) (thaw func())
}

// Events takes what docker events shows of a container.
type Events interface {
	Log(c *moby.Container, action moby.EventAction, attributes map[string]string)
}

// Creator creates containers, as the daemon's API does.
type Creator interface {
	// AsRequested passes what is to be created through the checks that a request of the
	// API passes, and returns what the daemon would create.
	AsRequested(ctx context.Context, params moby.ContainerCreateConfig) (_ moby.ContainerCreateConfig, warnings []string, _ error)
	// ContainerCreate creates a container. It calls [NewLayer] with ctx, or a context made of it,
	// unless it fails before.
	ContainerCreate(ctx context.Context, params moby.ContainerCreateConfig) (moby.CreateResponse, error)
	// FindNetwork returns an error if the daemon has no network of that name.
	FindNetwork(name string) error
}

// Starter starts containers.
type Starter interface {
	// Start starts a container as docker start does.
	Start(ctx context.Context, c *moby.Container) error
	// StartFrom starts a container whose processes go on where a dump has them. The dump
	// is in the folder of that name below the container's checkpoints.
	StartFrom(ctx context.Context, c *moby.Container, checkpoint string) error
}

// Cleaner removes containers that could not be restored. The Cleaner of package
// unfinished does.
type Cleaner interface {
	// TakeBack removes a container, nil if there is none, and returns the failure, with
	// what failed of the removal.
	TakeBack(ctx context.Context, c *moby.Container, failure error) error
}

// Checkpoints finds checkpoints to restore. [StoreCheckpoints] returns them.
type Checkpoints interface {
	PrepareRestore(ctx context.Context, ref string, o image.RestoreOptions) (*Prepared, error)
}

// Prepared is a checkpoint that is whole, and fit for this daemon. Only the fields of the
// Restore are used; its methods are called as steps.
type Prepared struct {
	*image.Restore
	Steps Steps
}

// Steps are those of [*image.Restore].
type Steps interface {
	CreateLayer(ctx context.Context, c *moby.Container, init moby.InitLayerFunc) (moby.RWLayer, error)
	UnpackProcess(ctx context.Context) (ocispec.Descriptor, error)
	End(ctx context.Context, failure error)
}

// Layers makes the layers of new containers. The daemon's image service does.
type Layers interface {
	CreateLayerContext(ctx context.Context, c *moby.Container, init moby.InitLayerFunc) (moby.RWLayer, error)
}
