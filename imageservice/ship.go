package imageservice

import (
	"context"
	"fmt"
	"runtime"

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
func (s *Service) ship(ctx context.Context, upper string, userXattr bool, stats snapshotter.SealStats) (_ diff.Layer, err error) {
	if stats.Bytes > largeLayer {
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

	layer, _, err := diff.Pack(ctx, w, upper, diff.TarOptions{UserXattr: userXattr, Root: stats.Root}, s.compression(ctx))
	if err != nil {
		return diff.Layer{}, err
	}
	if err := w.Commit(ctx, layer.Blob, map[string]string{compat.LabelUncompressed: layer.DiffID.String()}); err != nil {
		return diff.Layer{}, fmt.Errorf("store layer %s: %w", layer.Blob.Digest, err)
	}
	return layer, nil
}
