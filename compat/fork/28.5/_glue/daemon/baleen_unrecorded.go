package daemon

import (
	"context"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"
)

// unrecordedTask is containerd's task of a container that does not run by the
// daemon's record; nil if there is none, or if it does not run either.
func (daemon *Daemon) unrecordedTask(ctx context.Context, c *container.Container) (containerd.Task, error) {
	task, status, err := daemon.leftTask(ctx, c)
	if status == containerd.Created {
		return nil, err
	}
	return task, err
}

// leftTask is [Daemon.unrecordedTask], and also returns a task that has been created
// and not started. There is one if the daemon was killed while it started a container,
// or before it recorded that, and the container outlived it (live-restore).
func (daemon *Daemon) leftTask(ctx context.Context, c *container.Container) (containerd.Task, containerd.ProcessStatus, error) {
	if c.IsRunning() {
		return nil, "", nil
	}
	loaded, err := daemon.containerdClient.LoadContainer(ctx, c.ID)
	var task containerd.Task
	if err == nil {
		task, err = loaded.Task(ctx, nil)
	}
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

// freezeUnrecorded stops a container that does not run by the daemon's record, if it
// does by containerd's. It is read as it is if it cannot be stopped, as others are.
func (daemon *Daemon) freezeUnrecorded(ctx context.Context, c *container.Container) (thaw func()) {
	logger := log.G(ctx).WithField("container", c.ID)
	task, err := daemon.unrecordedTask(ctx, c)
	if err != nil {
		logger.WithError(err).Warn("not paused for the commit")
	}
	if task == nil {
		return func() {}
	}
	fctx, cancel := context.WithTimeout(ctx, freezePatience)
	defer cancel()
	release, err := frozen.Hold(fctx, int(task.Pid()), c.ID)
	if err != nil {
		logger.WithError(err).Warn("not paused for the commit")
		return func() {}
	}
	return func() {
		if _, err := release(); err != nil {
			logger.WithError(err).Error("could not let the container go on after a commit")
		}
	}
}

// endUnrecorded comes before the removal of a container that does not run by the
// daemon's record. If it does by containerd's, it is ended by force; and so is what was
// to become its first process, which would keep its files for ever.
func (daemon *Daemon) endUnrecorded(c *container.Container, force bool) error {
	ctx := context.Background() // as Moby removes containers
	task, _, err := daemon.leftTask(ctx, c)
	if err != nil || task == nil {
		return err
	}
	if !force {
		return errdefs.Conflict(fmt.Errorf("container %s (%s) runs: containerd has a task of it, process %d, of which the daemon's record does not tell: force remove", bare(c), c.ID, task.Pid()))
	}
	log.G(ctx).WithField("container", c.ID).WithField("process", task.Pid()).Warn("ending a container that runs without the daemon's record telling so")
	if _, err := task.Delete(ctx, containerd.WithProcessKill); err != nil && !cerrdefs.IsNotFound(err) {
		// The daemon hears of its end, and deletes it as well: whoever comes second finds
		// nobody to answer.
		if left, _, leftErr := daemon.leftTask(ctx, c); left != nil || leftErr != nil {
			return fmt.Errorf("end container %s, which runs without the daemon's record telling so: %w", bare(c), err)
		}
	}
	return nil
}
