package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/log"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"

	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// creatingMark is a file in a container's folder while the container is being
// created: from before it has a layer until it is registered. Whoever finds it at
// the daemon's start, and no container, finds what a crash has left. It is not
// synced: containerd syncs its own records later, and so the file with them if
// they are on the same file system.
const creatingMark = lifecycle.CreatingMark

// markCreating marks a container of which there is nothing yet, its folder
// neither.
func markCreating(root, mark string) error {
	err := os.MkdirAll(root, 0o710)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, mark), nil, 0o600)
	}
	if err != nil {
		return errdefs.System(fmt.Errorf("mark the container as being created: %w", err))
	}
	return nil
}

// creating marks a new container, on the containerd store.
func (daemon *Daemon) creating(c *container.Container) error {
	if _, err := daemon.baleenService(); err != nil {
		return nil
	}
	return markCreating(c.Root, creatingMark)
}

// created takes the mark off a container that is registered. If it stays, the next
// start takes it off.
func (daemon *Daemon) created(ctx context.Context, c *container.Container) {
	if err := os.Remove(filepath.Join(c.Root, creatingMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.G(ctx).WithError(err).WithField("container", c.ID).Warn("could not mark the container as created")
	}
}

// mendMarked mends all containers with a mark, by their folders: what of them a
// crash has cut short is removed.
func (daemon *Daemon) mendMarked(ctx context.Context, s *imageservice.Service, mark string, mend func(context.Context, *imageservice.Service, string) (removed bool, err error)) {
	marks, err := filepath.Glob(filepath.Join(daemon.repository, "*", mark))
	if err != nil {
		log.G(ctx).WithError(err).WithField("mark", mark).Error("could not look for what a crash has cut short")
	}
	for _, path := range marks {
		root := filepath.Dir(path)
		logger := log.G(ctx).WithFields(log.Fields{"container": filepath.Base(root), "mark": mark})
		removed, err := mend(ctx, s, root)
		switch {
		case err != nil:
			logger.WithError(err).Error("could not mend a container whose creation was cut short; restart the daemon to try again")
		case removed:
			logger.Info("removed what was left of a container whose creation was cut short")
		}
	}
}

func (daemon *Daemon) mendCreate(ctx context.Context, s *imageservice.Service, root string) (removed bool, err error) {
	c := daemon.containers.Get(filepath.Base(root))
	switch {
	case c == nil:
		return true, dropUnloaded(ctx, s, root)
	case c.IsDead(): // it could not be created, nor removed then
		return true, daemon.removeRestored(c)
	}
	daemon.created(ctx, c)
	return false, nil
}
