package snap

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/dirtree"
)

// Usage returns what a snapshot of the container takes on disk, in bytes. What
// an exchanged folder takes the snapshotter has not seen: it is measured once.
func (s *Store) Usage(ctx context.Context, name string) (int64, error) {
	i, err := s.Snapshots.Stat(ctx, name)
	if err != nil {
		return 0, err
	}
	return s.usage(ctx, i)
}

// Measured is Usage for who can do without: -1 if it cannot be measured.
func (s *Store) Measured(ctx context.Context, i snapshots.Info) int64 {
	size, err := s.usage(ctx, i)
	if err != nil {
		log.G(ctx).WithError(err).WithField("snapshot", i.Name).Warn("could not measure a revision")
		return -1
	}
	return size
}

func (s *Store) usage(ctx context.Context, i snapshots.Info) (int64, error) {
	if size, err := strconv.ParseInt(i.Labels[label.Size], 10, 64); err == nil {
		return size, nil
	}
	if i.Kind == snapshots.KindActive {
		// Of what a container writes not every snapshotter measures all: that of
		// containerd fails on paths that are too long.
		upper, err := s.Upper(ctx, i)
		if err == nil {
			return measure(ctx, upper)
		}
		if !errors.Is(err, diff.ErrUnsupported) {
			return 0, err
		}
	}
	if i.Labels[label.Unmeasured] == "" {
		usage, err := s.Snapshots.Usage(ctx, i.Name)
		return usage.Size, err
	}
	folder, err := s.Folder(ctx, i)
	if err != nil {
		return 0, err
	}
	size, err := measure(ctx, folder)
	if err != nil {
		return 0, err
	}
	return size, s.Label(ctx, i.Name, map[string]string{label.Size: strconv.FormatInt(size, 10)})
}

func measure(ctx context.Context, folder string) (int64, error) {
	usage, err := dirtree.Measure(ctx, folder)
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	return usage.Bytes, err
}
