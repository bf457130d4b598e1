package snap

import (
	"context"
	"errors"
	"fmt"

	c8ddiff "github.com/containerd/containerd/v2/core/diff"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
)

// MaxLayers is how many layers of its own a container may have, with the active one,
// before they are merged, unless something else is asked for. overlayfs takes 500 in
// all, and the options of a mount one page.
const MaxLayers = 64

// Merge makes one snapshot on base of the topmost layers of another.
func (s *Store) Merge(ctx context.Context, name string, top snapshots.Info, base string, layers int) error {
	fill, err := s.Merged(ctx, top, base, layers)
	if err != nil {
		return err
	}
	labels := map[string]string{label.Container: s.Container}
	for _, l := range []string{label.Record, label.RefRecord, label.RefImage, label.Image, label.Previous, label.Retired} {
		labels[l] = top.Labels[l]
	}
	return s.Make(ctx, name, base, labels, fill)
}

// Merged fills a snapshot on base with the topmost layers of another.
func (s *Store) Merged(ctx context.Context, top snapshots.Info, base string, layers int) (fill func([]mount.Mount) error, _ error) {
	from, err := s.Layers(ctx, top.Name)
	if err != nil {
		return nil, err
	}
	if len(from.Lowers) < layers {
		return nil, fmt.Errorf("%w: %d folders for %d layers", diff.ErrUnsupported, len(from.Lowers), layers)
	}
	from.Uppers, from.Lowers = from.Lowers[:layers], from.Lowers[layers:]
	return func(into []mount.Mount) error {
		to, err := changes.ParseOverlay(into, base != "")
		if err != nil {
			return err
		}
		return snapshotter.Durably(ctx, to.Uppers[0], func() (snapshotter.SealStats, error) {
			return snapshotter.SealWhole(ctx, &changes.Container{Overlay: from, Whole: true}, to.Uppers[0])
		})
	}, nil
}

// CopyTrees finds what the container has written by comparing whole trees, and writes it
// into a new snapshot.
func (s *Store) CopyTrees(ctx context.Context, parent string, live, into []mount.Mount) (err error) {
	key := s.Container + ".r-before" + KeySuffix
	// With the label, what a crash leaves is found and removed.
	before, err := s.Snapshots.View(ctx, key, parent, snapshots.WithLabels(map[string]string{label.Container: s.Container}))
	defer func() { err = errors.Join(err, s.Undo(ctx, key)) }()
	if err != nil { // containerd can fail after it has made it
		return fmt.Errorf("view snapshot %q: %w", parent, err)
	}
	layer, err := tarlayer.FromTrees(ctx, s.Differ, s.Content, before, live)
	if err == nil && !layer.Empty() {
		_, err = s.Differ.Apply(ctx, layer.Blob, into, c8ddiff.WithSyncFs(true))
	}
	if err != nil {
		return err
	}
	return carryRoot(ctx, before, live, into)
}
