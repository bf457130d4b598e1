package daemon

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/freeze"
)

var _ freeze.Daemon = baleenRoles{}

func (r baleenRoles) Pause(c *moby.Container) error   { return r.daemon.containerPause(c) }
func (r baleenRoles) Unpause(c *moby.Container) error { return r.daemon.containerUnpause(c) }

func (r baleenRoles) Resumed(c *moby.Container) error {
	return r.daemon.ProcessEvent(c.ID, moby.TaskResumed, moby.TaskEventInfo{})
}

func (r baleenRoles) ShowsPaused(c *moby.Container) bool {
	s, err := r.daemon.containersReplica.Snapshot().Get(c.ID)
	return err == nil && s.Paused
}

func (r baleenRoles) UnrecordedTask(ctx context.Context, c *moby.Container) (containerd.Task, error) {
	return r.daemon.baleen.operations.UnrecordedTask(ctx, c)
}

// pauseCommit leaves it to a commit in the context that it returns to freeze the
// container. A commit of a graph driver does not know of that: the container is paused
// here, as by Moby, until thaw.
func (daemon *Daemon) pauseCommit(ctx context.Context, c *moby.Container) (_ context.Context, thaw func()) {
	if daemon.baleen.freezer != nil {
		return daemon.baleen.freezer.ForCommit(ctx, c), func() {}
	}
	_ = daemon.containerPause(c) // as Moby ignores it
	return ctx, func() { _ = daemon.containerUnpause(c) }
}

func (daemon *Daemon) awaitThaw(c *moby.Container) { daemon.baleen.freezer.AwaitThaw(c) }
