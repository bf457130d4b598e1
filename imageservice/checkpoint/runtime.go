package checkpoint

import (
	"context"
	"errors"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

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
	if dir, ok := ctx.Value(criuFolderKey{}).(string); ok {
		options = withCRIUFolder(options, dir)
	}
	created, err := c.RuntimeClient.NewContainer(ctx, id, spec, shim, options, opts...)
	if err != nil {
		return nil, err
	}
	return runtimeContainer{created}, nil
}

// criuFolderKey is the key in a context for the folder that CRIU writes its log of a
// restore to. containerd removes the one that it would write to otherwise together with
// what could not be restored.
type criuFolderKey struct{}

// withCRIUFolder returns the options of runc with the folder for CRIU. They are a copy:
// the daemon keeps the options of its runtimes.
func withCRIUFolder(options any, dir string) any {
	given, ok := options.(*runcoptions.Options)
	if !ok {
		return options
	}
	changed := proto.CloneOf(given)
	changed.CriuWorkPath = dir
	return changed
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
