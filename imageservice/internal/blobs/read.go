package blobs

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/imageservice/internal/missing"
)

// Fetch opens a layer in the content store. The error of one that is not there says what
// helps.
func (s *Store) Fetch(ctx context.Context, layer ocispec.Descriptor) (io.ReadCloser, error) {
	blob, err := FetchFrom(ctx, s.content, layer)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %s", err, missing.Hint)
	}
	return blob, err
}

// FetchFrom opens a layer.
func FetchFrom(ctx context.Context, from content.Provider, layer ocispec.Descriptor) (io.ReadCloser, error) {
	blob, err := from.ReaderAt(ctx, layer)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(blob), blob}, nil
}
