package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/log"
)

// Remove takes a snapshot's record and name away. Its files are deleted in the
// background; who has it mounted sees them vanish.
func (s *Snapshotter) Remove(ctx context.Context, key string) error {
	s.names.RLock()
	defer s.names.RUnlock()
	var id string
	err := s.write(ctx, &change{apply: func(tx context.Context) (err error) {
		id, _, err = storage.Remove(tx, key)
		return err
	}})
	if err != nil {
		return fmt.Errorf("remove snapshot %q: %w", key, err)
	}
	s.abandon(ctx, id)
	return nil
}

// abandon puts away what a snapshot without a record has. That cannot fail any
// more: what is left is deleted by Cleanup, or at the next start.
func (s *Snapshotter) abandon(ctx context.Context, id string) {
	err := s.at(stepRemoved)
	if err == nil {
		err = s.trash.take(id)
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", id).Warn("could not rename a removed snapshot's folder")
		// Its id is never given again.
		s.trash.put(id)
	}
	if err := os.Remove(filepath.Join(s.links(), shortName(id))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.G(ctx).WithError(err).WithField("id", id).Warn("could not remove a removed snapshot's short name")
	}
}

// Cleanup returns when all that was removed before the call is deleted. What
// could not be deleted is tried again, and is an error if that fails.
func (s *Snapshotter) Cleanup(ctx context.Context) error {
	if err := s.trash.empty(ctx); err != nil {
		return fmt.Errorf("clean up snapshots: %w", err)
	}
	return nil
}
