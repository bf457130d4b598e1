package tarlayer

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/labels"

	"github.com/containerd/containerd/v2/core/content"
	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
)

// FromTrees makes a layer of the differences between two trees with the walking
// differ behind comparer, which writes the blob into provider's store. The
// caller holds a lease: nothing else keeps the blob.
func FromTrees(ctx context.Context, comparer c8ddiff.Comparer, provider content.InfoProvider, lower, upper []mount.Mount) (diff.Layer, error) {
	blob, err := comparer.Compare(ctx, lower, upper, c8ddiff.WithMediaType(ocispec.MediaTypeImageLayerGzip))
	if err != nil {
		return diff.Layer{}, fmt.Errorf("compare: %w", err)
	}
	info, err := provider.Info(ctx, blob.Digest)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("look up layer %s: %w", blob.Digest, err)
	}
	diffID, err := digest.Parse(info.Labels[labels.LabelUncompressed])
	if err != nil {
		return diff.Layer{}, fmt.Errorf("layer %s has no diffID in label %s: %w", blob.Digest, labels.LabelUncompressed, err)
	}
	return diff.Layer{
		Blob:   ocispec.Descriptor{MediaType: blob.MediaType, Digest: blob.Digest, Size: info.Size},
		DiffID: diffID,
	}, nil
}
