package daemon

import (
	"context"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/moby"
)

// freezeUnrecorded stops a container that does not run by the daemon's record, if it
// does by containerd's. It is read as it is if it cannot be stopped, as others are.
func (daemon *Daemon) freezeUnrecorded(ctx context.Context, c *moby.Container) (thaw func()) {
	logger := log.G(ctx).WithField("container", c.ID)
	task, err := daemon.baleen.operations.UnrecordedTask(ctx, c)
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
