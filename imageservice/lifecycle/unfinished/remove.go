package unfinished

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/panics"
)

// TakeBack removes the container of a restore that has failed, and returns the failure,
// joined with why the container could not be removed yet. The container is nil if the
// restore has not made one. TakeBack goes on when ctx ends. While containerd is away it
// tries again in the background.
func (r *Cleaner) TakeBack(ctx context.Context, c *moby.Container, failure error) error {
	if c == nil || r.isGone(c) {
		return failure
	}
	ctx = context.WithoutCancel(ctx)
	switch {
	case errors.Is(failure, panics.Err):
		go r.removeAfterPanic(ctx, c)
		return failure
	case c.State.IsRunning():
		return errors.Join(failure, r.remove(c))
	}
	if err := r.removeUnstarted(ctx, c); err != nil {
		go r.removeLater(ctx, c)
		return errors.Join(failure, fmt.Errorf("the container could not be removed yet: %w", err))
	}
	return failure
}

// isGone reports whether nothing is left of a container that was being restored, as when
// it could not be created.
func (r *Cleaner) isGone(c *moby.Container) bool {
	_, err := os.Lstat(filepath.Join(c.Root, restoring))
	return errors.Is(err, fs.ErrNotExist) && r.Containers.Get(c.ID) == nil
}

// removeAfterPanic removes a container that may be locked for good. If it is, the next
// start finds its mark.
func (r *Cleaner) removeAfterPanic(ctx context.Context, c *moby.Container) {
	var err error
	defer panics.AsError(ctx, &err)
	if err = r.remove(c); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("could not remove a container that could not be restored; it is removed at the next start")
	}
}

// remove removes a container that did not come up. One that was created with --rm may be
// on its way out already.
func (r *Cleaner) remove(c *moby.Container) error {
	if r.Containers.Get(c.ID) == nil {
		return r.Daemon.RemoveUnregistered(c)
	}
	err := r.Daemon.Remove(c)
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// removeUnstarted removes a restored container whose start was cut short, by the end of
// this daemon or of containerd, with all that is left of the start.
func (r *Cleaner) removeUnstarted(ctx context.Context, c *moby.Container) error {
	if err := r.Daemon.LoadTask(ctx, c); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("ask containerd for the container: %w", err)
	}
	if err := endUnrecorded(ctx, c); err != nil {
		return err
	}
	r.unmountLeft(ctx, c)
	return r.remove(c)
}

// endUnrecorded ends the processes of a container that the daemon did not record as
// started, and removes the container from containerd.
func endUnrecorded(ctx context.Context, c *moby.Container) error {
	c.State.Lock()
	defer c.State.Unlock()
	if task, ok := c.State.Task(); ok {
		if err := task.ForceDelete(ctx); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("end the processes: %w", err)
		}
	}
	if known, ok := c.State.C8dContainer(); ok {
		if err := known.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove the container from containerd: %w", err)
		}
	}
	return nil
}

// removeLater removes a restored container that did not come up, while containerd may be
// starting again. After the last try the mark of the container is still there, for the
// next start.
func (r *Cleaner) removeLater(ctx context.Context, c *moby.Container) {
	logger := log.G(ctx).WithField("container", c.ID)
	sleep := r.sleep
	if sleep == nil {
		sleep = time.Sleep
	}
	var err error
	failed := startedAt(c)
	for wait := 250 * time.Millisecond; wait < time.Minute; wait *= 2 {
		sleep(wait)
		if c.State.IsRunning() || !startedAt(c).Equal(failed) {
			return // somebody has started it: it is theirs
		}
		if err = r.removeUnstarted(ctx, c); err == nil || r.isGone(c) {
			logger.Info("removed a container that could not be restored")
			return
		}
	}
	logger.WithError(err).Error("gave up removing a container that could not be restored; it is removed at the next start")
}

func startedAt(c *moby.Container) time.Time {
	c.State.Lock()
	defer c.State.Unlock()
	return c.State.StartedAt
}
