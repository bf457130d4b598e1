package overlay

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
)

// Stat returns the record of a snapshot.
func (s *Snapshotter) Stat(ctx context.Context, key string) (info snapshots.Info, err error) {
	err = s.read(ctx, func(tx context.Context) (err error) {
		_, info, _, err = storage.GetInfo(tx, key)
		return err
	})
	if err != nil {
		return snapshots.Info{}, fmt.Errorf("look up snapshot %q: %w", key, err)
	}
	return info, nil
}

// Update changes labels of a snapshot: all of them, or those that the field
// paths name, as labels.<name>.
func (s *Snapshotter) Update(ctx context.Context, info snapshots.Info, fieldpaths ...string) (updated snapshots.Info, err error) {
	err = s.write(ctx, &change{apply: func(tx context.Context) (err error) {
		updated, err = storage.UpdateInfo(tx, info, fieldpaths...)
		return err
	}})
	if err != nil {
		return snapshots.Info{}, fmt.Errorf("update snapshot %q: %w", info.Name, err)
	}
	return updated, nil
}

// Mounts returns how to mount an active snapshot or a view.
func (s *Snapshotter) Mounts(ctx context.Context, key string) (mounts []mount.Mount, err error) {
	var (
		sn   storage.Snapshot
		info snapshots.Info
	)
	err = s.read(ctx, func(tx context.Context) (err error) {
		if sn, err = storage.GetSnapshot(tx, key); err != nil {
			return err
		}
		_, info, _, err = storage.GetInfo(tx, key)
		return err
	})
	if err == nil {
		mounts, err = s.mounts(sn, info)
	}
	if err != nil {
		return nil, fmt.Errorf("look up mounts of snapshot %q: %w", key, err)
	}
	return mounts, nil
}

// Walk calls f for every snapshot that matches one of the filters, or for all
// if there are none, as they were at one moment before the first call. f may use
// the snapshotter, also to change it.
func (s *Snapshotter) Walk(ctx context.Context, f snapshots.WalkFunc, filters ...string) error {
	// No transaction is open while f runs: the database could not grow.
	var all []snapshots.Info
	err := s.read(ctx, func(tx context.Context) error {
		return storage.WalkInfo(tx, func(_ context.Context, info snapshots.Info) error {
			all = append(all, info)
			return nil
		}, filters...)
	})
	if err != nil && !isUnused(err) {
		return fmt.Errorf("walk snapshots: %w", err)
	}
	for _, info := range all {
		if err := f(ctx, info); err != nil {
			return err
		}
	}
	return nil
}

// isUnused tells of an error within a transaction whether it is that there never
// was a snapshot.
func isUnused(err error) bool { return errdefs.IsNotFound(err) }
