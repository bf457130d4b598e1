package imageservice

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/leases"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/imageservice/layers"
)

// Unpack makes the snapshots of an image whose manifest, for one platform, and
// layers are stored, and has the image keep them. What exists of them is kept.
func (s *Service) Unpack(ctx context.Context, manifest ocispec.Descriptor) (err error) {
	if _, leased := leases.FromContext(ctx); !leased {
		var end func(error)
		if ctx, end, err = s.files.Operations.Begin(ctx, "unpack", manifest.Digest.String(), false); err != nil {
			return err
		}
		defer func() { end(err) }()
	}
	_, err = s.layers.Unpack(ctx, &manifest)
	if errors.Is(err, layers.ErrCheckpoint) { // what there is to unpack is so at its restore
		return nil
	}
	return err
}
