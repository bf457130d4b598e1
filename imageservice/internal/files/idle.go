package files

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// WhileIdle calls f while nobody can be writing to a container's files, and nobody
// can mount them. If somebody may be, the error is errdefs.ErrFailedPrecondition,
// and f is not called.
//
// That is decided here for all that replaces, links or moves a container's files:
// the daemon's record of the container must say that it does not run, and
// containerd and the mount table must know of nobody ([containerstore.History.Idle]).
func (c *Containers) WhileIdle(ctx context.Context, ctr *moby.Container, h *containerstore.History, f func() error) error {
	// Not with the lock held: a container that starts is locked by Moby, and waits for the
	// lock to mount. One that starts after this is mounted, or does not get to that.
	if ctr.IsRunning() {
		return fmt.Errorf("its files are in use: it is running: %w", errdefs.ErrFailedPrecondition)
	}
	lock := c.Locks.Of(ctr.ID)
	lock.Lock()
	defer lock.Unlock()
	// The daemon's own mounts are asked for as well: of some snapshotters the mount
	// table does not tell. That it counts none is no proof: a mount that could not be
	// unmounted is not counted any more.
	mounted, err := c.Mounted(ctr.ID)
	if err != nil {
		return err
	}
	if mounted {
		return fmt.Errorf("its files are in use: it is running, or docker cp or export for example reads it: %w", errdefs.ErrFailedPrecondition)
	}
	if err := h.Idle(ctx); err != nil {
		return err
	}
	return f()
}

// InUse reports whether an error says that a container's files may be written.
func InUse(err error) bool { return errdefs.IsFailedPrecondition(err) }
