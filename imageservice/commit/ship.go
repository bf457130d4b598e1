package commit

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/imageservice/internal/progress"
	"github.com/baleen-project/baleen/snapshotter"
)

// slowLayer is the size in bytes from which on the log warns of a layer: to digest
// it takes a minute or more.
const slowLayer = 64 << 30

// shipUpper makes a layer of a sealed upper, in one pass, and stores it under the
// lease in ctx.
func (m *Maker) shipUpper(ctx context.Context, upper string, userXattr bool, stats snapshotter.SealStats) (diff.Layer, error) {
	warnIfSlow(ctx, stats.Bytes)
	return m.Ship(ctx, func(w io.Writer) (diff.Layer, error) {
		opts := tarlayer.Options{UserXattr: userXattr, Root: stats.Root, Limit: m.Limit, Wrote: progress.NewMeter(ctx, stats.Bytes).Add}
		layer, _, err := tarlayer.Pack(ctx, w, upper, opts, m.compression(ctx))
		return layer, err
	})
}

// ShipChanges makes a layer as a commit does, of changes that are sealed where they lie. It stores
// nothing if there are none.
func (m *Maker) ShipChanges(ctx context.Context, c *changes.Container) (diff.Layer, error) {
	// Nothing is packed in vain for what turns out to be too large.
	size, err := changes.LayerSize(ctx, c, m.Limit)
	if err != nil {
		return diff.Layer{}, err
	}
	warnIfSlow(ctx, size)
	return m.Ship(ctx, func(w io.Writer) (diff.Layer, error) {
		opts := tarlayer.Options{Limit: m.Limit, Wrote: progress.NewMeter(ctx, size).Add}
		layer, _, err := tarlayer.PackChanges(ctx, w, c, opts, m.compression(ctx))
		return layer, err
	})
}

// warnIfSlow says in the log what a layer will cost.
func warnIfSlow(ctx context.Context, size int64) {
	if size >= slowLayer {
		log.G(ctx).WithField("bytes", size).Warn("packing a layer of which the digest takes minutes or hours: its holes count, too, and who asked for it can end it")
	}
}

// Ship stores the layer that pack writes. Layers are packed at the same time, however
// many: how long one takes is a container's choice, and no other must wait for that.
// They share the processors, and with them the memory of the compressors; each takes
// some 10 MiB besides.
func (m *Maker) Ship(ctx context.Context, pack func(io.Writer) (diff.Layer, error)) (_ diff.Layer, err error) {
	w, err := m.Blobs.Open(ctx)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("open layer for writing: %w", err)
	}
	defer func() { err = w.Close(ctx, err) }()

	layer, err := pack(w)
	if err != nil || layer.Empty() {
		return layer, err
	}
	if err := w.Commit(ctx, layer.Blob, map[string]string{compat.LabelUncompressed: layer.DiffID.String()}); err != nil {
		return diff.Layer{}, fmt.Errorf("store layer %s: %w", layer.Blob.Digest, err)
	}
	return layer, nil
}
