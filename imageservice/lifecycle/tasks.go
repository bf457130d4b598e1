package lifecycle

import (
	"context"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
)

// ClientTasks finds tasks by a client whose default namespace is the daemon's.
func ClientTasks(client *containerd.Client) Tasks { return clientTasks{client} }

type clientTasks struct{ client *containerd.Client }

func (t clientTasks) Task(ctx context.Context, id string) (containerd.Task, error) {
	c, err := t.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.Task(ctx, nil)
}

// UnrecordedTask returns containerd's task of a container that does not run by the
// daemon's record. It returns nil if the container has no task that runs.
func (o *Operations) UnrecordedTask(ctx context.Context, c *moby.Container) (containerd.Task, error) {
	if o == nil {
		return nil, nil
	}
	task, status, err := o.leftTask(ctx, c)
	if status == containerd.Created {
		return nil, err
	}
	return task, err
}

// leftTask is [Operations.UnrecordedTask], and also returns a task that has been created
// and not started. There is one if the daemon was killed while it started a container, or
// before it recorded that, and the container outlived it (live-restore).
func (o *Operations) leftTask(ctx context.Context, c *moby.Container) (containerd.Task, containerd.ProcessStatus, error) {
	if c.State.IsRunning() {
		return nil, "", nil
	}
	task, err := o.tasks.Task(ctx, c.ID)
	var status containerd.Status
	if err == nil {
		status, err = task.Status(ctx)
	}
	switch {
	case cerrdefs.IsNotFound(err):
		return nil, "", nil
	case err != nil:
		return nil, "", fmt.Errorf("look for containerd's task of container %s: %w", bare(c), err)
	case status.Status == containerd.Stopped:
		return nil, "", nil
	}
	return task, status.Status, nil
}
