package unfinished

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/moby"
)

// The marks are empty files in the folder of a container.
const (
	creating  = "baleen-creating"
	restoring = "baleen-restoring"
)

// MarkCreating marks a container that is about to be created. There is nothing of it
// yet: its folder is made, too.
func MarkCreating(root string) error { return mark(root, creating) }

// UnmarkCreated takes the mark off a container that is registered.
func UnmarkCreated(root string) error {
	err := os.Remove(filepath.Join(root, creating))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return moby.System(fmt.Errorf("mark the container as created: %w", err))
	}
	return nil
}

// Created takes the mark off a container that was just registered. If that fails, the
// next start does it.
func Created(ctx context.Context, c *moby.Container) {
	if err := UnmarkCreated(c.Root); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Warn("could not mark the container as created")
	}
}

// MarkRestoring marks a container that is about to be restored. There is nothing of it
// yet: its folder is made, too. The mark outlasts a power cut.
func MarkRestoring(root string) error {
	if err := mark(root, restoring); err != nil {
		return err
	}
	if err := syncFolders(root, filepath.Dir(root)); err != nil {
		return moby.System(fmt.Errorf("mark the container as being restored: %w", err))
	}
	return nil
}

// UnmarkRestored takes the mark off a container that is whole.
func UnmarkRestored(root string) error {
	err := os.Remove(filepath.Join(root, restoring))
	if err == nil {
		err = syncFolders(root)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return moby.System(fmt.Errorf("mark the container as restored: %w", err))
	}
	return nil
}

// IsMarked reports whether a container's folder has a mark.
func IsMarked(root string) bool {
	for _, name := range []string{creating, restoring} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			return true
		}
	}
	return false
}

func mark(root, name string) error {
	err := os.MkdirAll(root, 0o710)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, name), nil, 0o600)
	}
	if err != nil {
		return moby.System(fmt.Errorf("mark the container as being created: %w", err))
	}
	return nil
}

// syncFolders makes the names in folders outlast a power cut.
func syncFolders(paths ...string) error {
	for _, path := range paths {
		dir, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return err
		}
	}
	return nil
}
