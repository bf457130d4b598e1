package containerstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/snapshotter"
)

// Fill writes what the container changed into a new snapshot on its image, which
// these are the mounts of: all of its layers into the one. They are on
// disk when it returns.
func (c *Checkpoint) Fill(ctx context.Context, mounts []mount.Mount, fetch snapshotter.Fetch) error {
	var apply applyFunc = diff.ApplyMounts
	for i, layer := range c.Own {
		if err := fillLayer(ctx, mounts, layer, fetch, apply, i == len(c.Own)-1); err != nil {
			return fmt.Errorf("layer %s: %w", layer.Blob.Digest, err)
		}
		apply = diff.ApplyMountsOver
	}
	return nil
}

type applyFunc func(ctx context.Context, r io.Reader, mounts []mount.Mount, sync bool) (digest.Digest, diff.ApplyStats, error)

// fillLayer writes one layer, and compares what it unpacked to with what it is to
// be, as far as that is known.
func fillLayer(ctx context.Context, mounts []mount.Mount, layer diff.Layer, fetch snapshotter.Fetch, apply applyFunc, sync bool) (err error) {
	blob, err := fetch(ctx, layer.Blob)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	diffID, _, err := apply(ctx, blob, mounts, sync)
	if err == nil && layer.DiffID != "" && layer.DiffID != diffID {
		err = fmt.Errorf("it unpacks to %s, and not to %s: %w", diffID, layer.DiffID, errdefs.ErrDataLoss)
	}
	return err
}
