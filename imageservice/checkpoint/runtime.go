package checkpoint

import (
	"context"
	"errors"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/compat/moby"
)

// RuntimeClient returns the daemon's client of containerd, which starts a task that is
// made of a dump at once. The daemon connects a task to its networks before it starts the
// task, but processes of a dump exist only after the start.
func RuntimeClient(c moby.RuntimeClient) moby.RuntimeClient { return runtimeClient{c} }

type runtimeClient struct{ moby.RuntimeClient }

func (c runtimeClient) LoadContainer(ctx context.Context, id string) (moby.RuntimeContainer, error) {
	loaded, err := c.RuntimeClient.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	return runtimeContainer{loaded}, nil
}

func (c runtimeClient) NewContainer(ctx context.Context, id string, spec *specs.Spec, shim string, options any, opts ...containerd.NewContainerOpts) (moby.RuntimeContainer, error) {
	created, err := c.RuntimeClient.NewContainer(ctx, id, spec, shim, options, opts...)
	if err != nil {
		return nil, err
	}
	return runtimeContainer{created}, nil
}

type runtimeContainer struct{ moby.RuntimeContainer }

// NewTask returns a task, which runs if there is a dump.
func (c runtimeContainer) NewTask(ctx context.Context, dump string, withStdin bool, attach moby.StdioCallback) (moby.Task, error) {
	task, err := c.RuntimeContainer.NewTask(ctx, dump, withStdin, attach)
	if err != nil || dump == "" {
		return task, err
	}
	if err := task.Start(ctx); err != nil {
		return nil, errors.Join(err, task.ForceDelete(context.WithoutCancel(ctx)))
	}
	return startedTask{task}, nil
}

type startedTask struct{ moby.Task }

// Start does nothing: the task runs.
func (startedTask) Start(context.Context) error { return nil }
