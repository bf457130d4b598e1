package overlay

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
)

// Commit makes the active snapshot key the committed one name. When it returns,
// all that was written to it before the call is on disk.
func (s *Snapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	if err := s.commit(ctx, name, key, opts); err != nil {
		return fmt.Errorf("commit snapshot %q as %q: %w", key, name, err)
	}
	return nil
}

func (s *Snapshotter) commit(ctx context.Context, name, key string, opts []snapshots.Opt) error {
	id, err := s.committable(ctx, name, key)
	if err != nil {
		return err
	}
	usage, err := measure(ctx, s.upper(id))
	if err != nil {
		return err
	}
	s.noteUsage(ctx, id, usage)
	if err := s.at(stepMeasured); err != nil {
		return err
	}
	if err := s.disk.sync(ctx, id, s.upper(id), usage.Inodes); err != nil {
		return err
	}
	if err := s.at(stepSynced); err != nil {
		return err
	}
	err = s.write(ctx, &change{apply: func(tx context.Context) error {
		committed, err := storage.CommitActive(tx, key, name, usage, opts...)
		if err == nil && committed != id {
			err = fmt.Errorf("it was removed and made anew meanwhile: %w", errdefs.ErrFailedPrecondition)
		}
		return err
	}})
	if err != nil {
		return err
	}
	s.trash.takeWork(id)
	return nil
}

// committable returns the id of an active snapshot. It fails as the transaction
// at the end would, which is long after.
func (s *Snapshotter) committable(ctx context.Context, name, key string) (id string, err error) {
	err = s.read(ctx, func(tx context.Context) error {
		_, _, _, err := storage.GetInfo(tx, name)
		switch {
		case err == nil:
			return fmt.Errorf("%q: %w", name, errdefs.ErrAlreadyExists)
		case !errors.Is(err, errdefs.ErrNotFound):
			return err
		}
		var info snapshots.Info
		if id, info, _, err = storage.GetInfo(tx, key); err != nil {
			return err
		}
		if info.Kind != snapshots.KindActive {
			return fmt.Errorf("it is not active but %s: %w", info.Kind, errdefs.ErrFailedPrecondition)
		}
		return nil
	})
	return id, err
}
