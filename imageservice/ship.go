package imageservice

import (
	"context"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/diff"
)

// ship makes a layer of a sealed upper, in one pass, and stores it under the
// lease in ctx.
func (s *Service) ship(ctx context.Context, upper string, userXattr, root bool) (_ diff.Layer, err error) {
	w, err := s.ingest(ctx)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("open layer for writing: %w", err)
	}
	defer func() { err = w.close(ctx, err) }()

	layer, _, err := diff.Pack(ctx, w, upper, diff.TarOptions{UserXattr: userXattr, Root: root}, s.compression(ctx))
	if err != nil {
		return diff.Layer{}, err
	}
	if err := w.Commit(ctx, layer.Blob, map[string]string{compat.LabelUncompressed: layer.DiffID.String()}); err != nil {
		return diff.Layer{}, fmt.Errorf("store layer %s: %w", layer.Blob.Digest, err)
	}
	return layer, nil
}
