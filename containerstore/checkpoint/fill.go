package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/snapshotter"
)

// Fill writes what the container changed into a new snapshot on its image, which
// these are the mounts of: all of its layers, within a limit, into the one. They
// are on disk when it returns.
func (c *Checkpoint) Fill(ctx context.Context, mounts []mount.Mount, fetch snapshotter.Fetch, limit diff.Limit) error {
	dir := changes.WrittenDir(mounts)
	fill := func() error {
		for i, layer := range c.Own {
			// What is mounted for each layer is synced then.
			opts := apply.Options{Over: i > 0, Sync: dir == "", Limit: limit}
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
