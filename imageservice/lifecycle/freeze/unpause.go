package freeze

import (
	"context"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/freezer"
	"github.com/baleen-project/baleen/compat/moby"
)

// Unpause ends a pause of ours. While containerd is away it cannot, and goes on trying
// in the background: the pause must not outlive the commit.
func (f *Freezer) Unpause(ctx context.Context, c *moby.Container) {
	if f.daemon.Unpause(c) == nil {
		f.showUnpaused(ctx, c)
		return
	}
	err := f.resume(ctx, c)
	if err == nil {
		return
	}
	logger := log.G(ctx).WithField("container", c.ID)
	logger.WithError(err).Warn("could not thaw the container after a commit; trying again")
	go func() {
		tryUntilDone(func() error { return f.resume(ctx, c) })
		logger.Info("the container goes on after a commit")
	}()
}

// tryUntilDone tries again and again what has just failed.
func tryUntilDone(try func() error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		time.Sleep(wait)
		if try() == nil {
			return
		}
	}
}

// thawUnrecorded thaws a container that does not run by the daemon's record: neither the
// daemon nor its user can unpause it. What fails is tried again in the background.
func thawUnrecorded(ctx context.Context, pid int, id string, release func() (last bool, _ error)) {
	_, err := release()
	if err == nil {
		return
	}
	logger := log.G(ctx).WithField("container", id)
	logger.WithError(err).Errorf("could not thaw the container after a commit: its process %d stands still; trying again", pid)
	go func() {
		tryUntilDone(func() error { return freezer.Thaw(pid, id) })
		logger.Info("the container goes on after a commit")
	}()
}

// showUnpaused sees to it that docker ps, and what is written down, do not go on calling
// a container paused. Moby tells of a change only when it could write it down, which on
// a full disk it could not, and does not try again.
func (f *Freezer) showUnpaused(ctx context.Context, c *moby.Container) {
	if !f.daemon.ShowsPaused(c) {
		return
	}
	go func() {
		for wait := 100 * time.Millisecond; f.daemon.ShowsPaused(c); wait = min(2*wait, 5*time.Second) {
			c.State.Lock()
			if c.State.Paused || c.State.RemovalInProgress || c.State.Dead { // by somebody else
				c.State.Unlock()
				return
			}
			err := f.daemon.Save(ctx, c)
			c.State.Unlock()
			if err != nil {
				log.G(ctx).WithError(err).WithField("container", c.ID).Debug("could not save container to disk; trying again")
			}
			time.Sleep(wait)
		}
	}()
}

// resume lets a container go on whatever the daemon believes of it: containerd knows
// whether it is paused.
func (f *Freezer) resume(ctx context.Context, c *moby.Container) error {
	c.State.Lock()
	task, err := c.GetRunningTask()
	c.State.Unlock()
	if err != nil {
		return nil // it has ended
	}
	status, err := task.Status(ctx)
	if err != nil {
		return err
	}
	if status.Status == containerd.Paused || status.Status == containerd.Pausing {
		err = task.Resume(ctx)
	} else {
		err = freezer.Thaw(int(task.Pid()), c.ID) // frozen without containerd
	}
	if err != nil {
		return err
	}
	return f.daemon.Resumed(c)
}

// ThawInterrupted lets containers go on that a commit had paused by their runtime when
// the daemon crashed, and that outlived it (live-restore). Those of runc are frozen
// instead, see [ThawGroup]: one of them that is paused is so by its user's wish. get
// returns the container with an id, or nil.
func (f *Freezer) ThawInterrupted(ctx context.Context, ids []string, get func(id string) *moby.Container) {
	for _, id := range ids {
		// Whether it is paused containerd knows: the daemon may have ended before it
		// had noted so.
		if c := get(id); c != nil && c.State.IsRunning() && !IsFreezable(c) {
			f.Unpause(ctx, c)
		}
	}
}

// ThawGroup lets a container go on that a commit had frozen when the daemon crashed. That
// is done before containers are loaded: without live-restore they are then asked to end,
// and what stands still would be killed instead.
func ThawGroup(ctx context.Context, client *containerd.Client, id string) error {
	c, err := client.LoadContainer(ctx, id)
	if err != nil {
		return err
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return err
	}
	status, err := task.Status(ctx)
	if err != nil || status.Status != containerd.Running {
		return err // what containerd has paused is not ours to thaw
	}
	return freezer.Thaw(int(task.Pid()), id)
}
