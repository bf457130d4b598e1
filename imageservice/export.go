package imageservice

import (
	"context"
	"io"
	"strconv"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/compat/moby"
)

// ExportImage writes an archive of images (`docker save`). It is upstream's, which would
// leave layers out whose blobs are missing: an archive without them could not be loaded.
// So it fails before, and its error says what is missing.
func (s *Service) ExportImage(ctx context.Context, names []string, platforms moby.Platforms, out io.Writer) error {
	of := moby.PlatformList(platforms)
	return s.explain(ctx, "save", s.exportImage(ctx, names, platforms, of, out), of, names...)
}

func (s *Service) exportImage(ctx context.Context, names []string, platforms moby.Platforms, of []ocispec.Platform, out io.Writer) (err error) {
	ctx, end, err := s.lease(ctx, "save", strconv.Itoa(len(names))+" names")
	if err != nil {
		return err
	}
	defer func() { end(err) }()
	for _, name := range names {
		for _, img := range s.named(ctx, name) {
			if err := s.keepComplete(ctx, img.Target, of); err != nil {
				return err
			}
		}
	}
	return s.upstream.ExportImage(ctx, names, platforms, out) // under the same lease
}

// keepComplete puts what there is of an image under the lease in ctx, and returns an error
// if a part is missing that an archive would lack. For one platform that is a part of its
// manifest, or else see [Service.Complete].
func (s *Service) keepComplete(ctx context.Context, target ocispec.Descriptor, of []ocispec.Platform) error {
	if err := s.keepImage(ctx, target); err != nil {
		return err
	}
	if len(of) != 1 {
		return s.Complete(ctx, target)
	}
	all, err := s.manifests(ctx, target)
	if err != nil {
		return err
	}
	for _, m := range all {
		if len(m.missing) > 0 && !m.attests() && s.isFor(ctx, m, of) {
			return missingError{m}
		}
	}
	return nil
}

// keepImage puts what there is of an image under the lease in ctx.
func (s *Service) keepImage(ctx context.Context, target ocispec.Descriptor) error {
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if err := s.operations.KeepBlob(ctx, desc.Digest); err != nil {
			return nil, err
		}
		parts, err := images.Children(ctx, bounded.Image.Provider(s.content), desc)
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return parts, err
	}), target)
}
