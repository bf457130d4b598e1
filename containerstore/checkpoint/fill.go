package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// Fill is [Checkpoint.FillMapped] with the ids that the layers have.
func (c *Checkpoint) Fill(ctx context.Context, mounts []mount.Mount, fetch snapshotter.Fetch, limit diff.Limit) error {
	return c.FillMapped(ctx, mounts, fetch, nil, limit)
}

// FillMapped writes what the container changed into an active snapshot on its image, which
// these are the mounts of and nobody has mounted: all of its layers, within a limit,
// into the one, and what they say of the root directory. The ids of files are mapped, but
// not by a nil function. They are on disk when it returns. What is in the snapshot already stays
// where the layers have nothing; the upper of an overlay is mounted then, since only the
// kernel knows all of its marks.
func (c *Checkpoint) FillMapped(ctx context.Context, mounts []mount.Mount, fetch snapshotter.Fetch, ids idmap.Func, limit diff.Limit) error {
	dir := changes.WrittenDir(mounts)
	ours, err := isOurs(mounts, dir)
	if err != nil {
		return err
	}
	fill := func() error {
		for i, layer := range c.Own {
			// What is mounted for each layer is synced then.
			opts := apply.Options{Over: i > 0 && ours, Root: true, Sync: dir == "", MapIDs: ids, Limit: limit}
			if err := fillLayer(ctx, mounts, layer, fetch, opts); err != nil {
				return fmt.Errorf("layer %s: %w", layer.Blob.Digest, err)
			}
		}
		return nil
	}
	if dir == "" {
		return fill()
	}
	return apply.WriteSynced(dir, fill)
}

// isOurs reports whether all that is in a snapshot will be of the layers: whether the
// upper of an overlay is empty.
func isOurs(mounts []mount.Mount, dir string) (bool, error) {
	if dir == "" || mounts[0].Type != "overlay" {
		return true, nil
	}
	upper, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	_, err = upper.Readdirnames(1)
	empty := errors.Is(err, io.EOF)
	if empty {
		err = nil
	}
	return empty, errors.Join(err, upper.Close())
}

// fillLayer writes one layer, and compares what it unpacked to with what it is to
// be, as far as that is known.
func fillLayer(ctx context.Context, mounts []mount.Mount, layer diff.Layer, fetch snapshotter.Fetch, opts apply.Options) (err error) {
	blob, err := fetch(ctx, layer.Blob)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	diffID, _, err := apply.ToMounts(ctx, blob, mounts, opts)
	if err == nil && layer.DiffID != "" && layer.DiffID != diffID {
		err = fmt.Errorf("it unpacks to %s, and not to %s: %w", diffID, layer.DiffID, errdefs.ErrDataLoss)
	}
	return err
}
