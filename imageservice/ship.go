package imageservice

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/diff"
)

// shipChunk is how much goes to the content store at a time. Each piece is one
// message and one answer; containerd takes up to 16 MiB.
const shipChunk = 1 << 20

// ship makes a layer of a sealed upper, in one pass, and stores it under the
// lease in ctx.
func (s *Service) ship(ctx context.Context, upper string, userXattr, root bool) (_ diff.Layer, err error) {
	ref := "baleen-layer-" + rand.Text()
	w, err := content.OpenWriter(ctx, s.content, content.WithRef(ref))
	if err != nil {
		return diff.Layer{}, fmt.Errorf("open layer for writing: %w", explain(err))
	}
	defer func() { err = s.closeWriter(ctx, w, ref, err) }()

	chunks := bufio.NewWriterSize(w, shipChunk)
	layer, _, err := diff.Pack(ctx, chunks, upper, diff.TarOptions{UserXattr: userXattr, Root: root}, s.compression(ctx))
	if err != nil {
		return diff.Layer{}, err
	}
	if err := chunks.Flush(); err != nil {
		return diff.Layer{}, fmt.Errorf("write layer: %w", err)
	}
	labels := map[string]string{compat.LabelUncompressed: layer.DiffID.String()}
	err = w.Commit(ctx, layer.Blob.Size, layer.Blob.Digest, content.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		err = s.adopt(ctx, layer.Blob.Digest, labels)
	}
	if err != nil {
		return diff.Layer{}, fmt.Errorf("store layer %s: %w", layer.Blob.Digest, err)
	}
	return layer, nil
}
