package freeze

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/compat/moby"
)

// Client returns the daemon's client of containerd, whose tasks wait for a freeze to be
// over before they do what a frozen container cannot.
func (f *Freezer) Client(c moby.RuntimeClient) moby.RuntimeClient {
	if f == nil {
		return c
	}
	return client{c, f}
}

type client struct {
	moby.RuntimeClient
	freezer *Freezer
}

func (c client) LoadContainer(ctx context.Context, id string) (moby.RuntimeContainer, error) {
	loaded, err := c.RuntimeClient.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	return &container{loaded, c.freezer, id}, nil
}

func (c client) NewContainer(ctx context.Context, id string, spec *specs.Spec, shim string, options any, opts ...containerd.NewContainerOpts) (moby.RuntimeContainer, error) {
	created, err := c.RuntimeClient.NewContainer(ctx, id, spec, shim, options, opts...)
	if err != nil {
		return nil, err
	}
	return &container{created, c.freezer, id}, nil
}

type container struct {
	moby.RuntimeContainer
	freezer *Freezer
	id      string
}

func (c *container) NewTask(ctx context.Context, checkpointDir string, withStdin bool, attach moby.StdioCallback) (moby.Task, error) {
	return c.wrap(c.RuntimeContainer.NewTask(ctx, checkpointDir, withStdin, attach))
}

func (c *container) Task(ctx context.Context) (moby.Task, error) {
	return c.wrap(c.RuntimeContainer.Task(ctx))
}

func (c *container) AttachTask(ctx context.Context, attach moby.StdioCallback) (moby.Task, error) {
	return c.wrap(c.RuntimeContainer.AttachTask(ctx, attach))
}

func (c *container) wrap(t moby.Task, err error) (moby.Task, error) {
	if err != nil {
		return nil, err
	}
	return &task{t, c.freezer, c.id}, nil
}

type task struct {
	moby.Task
	freezer *Freezer
	id      string
}

// keepThawed waits until the container is not frozen, and keeps it so until release.
func (t *task) keepThawed() (release func()) {
	return t.freezer.frozen.KeepThawed(int(t.Pid()), t.id)
}

// Exec waits: the runtime starts no command in a container that is frozen.
func (t *task) Exec(ctx context.Context, id string, spec *specs.Process, withStdin bool, attach moby.StdioCallback) (moby.Process, error) {
	defer t.keepThawed()()
	return t.Task.Exec(ctx, id, spec, withStdin, attach)
}

// Pause waits with the container locked. So it is refused while the container is frozen to
// its end, which may take as long as a checkpoint, and needs the lock.
func (t *task) Pause(ctx context.Context) error {
	if _, ok := t.freezer.ending.Load(t.id); ok {
		return cerrdefs.ErrConflict.WithMessage("container " + t.id + " ends with the checkpoint that is being made of it")
	}
	defer t.keepThawed()()
	return t.Task.Pause(ctx)
}

func (t *task) Resume(ctx context.Context) error {
	defer t.keepThawed()()
	return t.Task.Resume(ctx)
}

// CreateCheckpoint waits: CRIU freezes the container itself.
func (t *task) CreateCheckpoint(ctx context.Context, dir string, exit bool) error {
	defer t.keepThawed()()
	return t.Task.CreateCheckpoint(ctx, dir, exit)
}

// UpdateResources waits: the kernel may need processes to run before it lowers a limit.
func (t *task) UpdateResources(ctx context.Context, resources *moby.TaskResources) error {
	defer t.keepThawed()()
	return t.Task.UpdateResources(ctx, resources)
}

// ForceDelete waits: what is frozen by a control group of version 1 does not die.
func (t *task) ForceDelete(ctx context.Context) error {
	defer t.keepThawed()()
	return t.Task.ForceDelete(ctx)
}
