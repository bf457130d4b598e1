package imageservice

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/snapshotter"
)

// largeLayer is from which size on, in bytes, layers are packed only a few at a
// time. Packing takes some 20 MiB of memory whatever the size, and all of the
// processors; a small layer is done before it takes either.
const largeLayer = 4 << 20

// packers bounds how many large layers are packed at the same time.
func packers() int64 { return int64(max(2, runtime.GOMAXPROCS(0)/2)) }

// ship makes a layer of a sealed upper, in one pass, and stores it under the
// lease in ctx.
func (s *Service) ship(ctx context.Context, upper string, userXattr bool, stats snapshotter.SealStats) (diff.Layer, error) {
	return s.shipBy(ctx, stats.Bytes > largeLayer, func(w io.Writer) (diff.Layer, error) {
		opts := diff.TarOptions{UserXattr: userXattr, Root: stats.Root, Wrote: newMeter(ctx, stats.Bytes).add}
		layer, _, err := diff.Pack(ctx, w, upper, opts, s.compression(ctx))
		return layer, err
	})
}

// shipChanges is ship for changes that are sealed where they lie. It stores
// nothing if there are none.
func (s *Service) shipChanges(ctx context.Context, c *diff.Container) (diff.Layer, error) {
	return s.shipBy(ctx, true, func(w io.Writer) (diff.Layer, error) {
		layer, _, err := diff.PackChanges(ctx, w, c, diff.TarOptions{Wrote: newMeter(ctx, 0).add}, s.compression(ctx))
		return layer, err
	})
}

// shipBy stores the layer that pack writes, which may be a large one.
func (s *Service) shipBy(ctx context.Context, large bool, pack func(io.Writer) (diff.Layer, error)) (_ diff.Layer, err error) {
	if large {
		if err := s.packing.Acquire(ctx, 1); err != nil {
			return diff.Layer{}, fmt.Errorf("wait for other layers to be packed: %w", err)
		}
		defer s.packing.Release(1)
	}
	w, err := s.ingest(ctx)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("open layer for writing: %w", err)
	}
	defer func() { err = w.close(ctx, err) }()

	layer, err := pack(w)
	if err != nil || layer.Empty() {
		return layer, err
	}
	// What is not compressed has been digested on both sides.
	if layer.Blob.MediaType == ocispec.MediaTypeImageLayer && layer.Blob.Digest != layer.DiffID {
		return diff.Layer{}, fmt.Errorf("containerd received layer %s as %s: %w", layer.DiffID, layer.Blob.Digest, errdefs.ErrDataLoss)
	}
	if err := w.Commit(ctx, layer.Blob, map[string]string{compat.LabelUncompressed: layer.DiffID.String()}); err != nil {
		return diff.Layer{}, fmt.Errorf("store layer %s: %w", layer.Blob.Digest, err)
	}
	return layer, nil
}
