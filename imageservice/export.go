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
	"github.com/baleen-project/baleen/imageservice/internal/missing"
)

// ExportImage writes an archive of images (`docker save`). It is upstream's, which would
// leave layers out whose blobs are missing: an archive without them could not be loaded.
// So it fails before, and its error says what is missing.
func (s *Service) ExportImage(ctx context.Context, names []string, platforms moby.Platforms, out io.Writer) error {
	of := moby.PlatformList(platforms)
	return s.explain(ctx, "save", s.exportImage(ctx, names, platforms, of, out), of, names...)
}

func (s *Service) exportImage(ctx context.Context, names []string, platforms moby.Platforms, of []ocispec.Platform, out io.Writer) (err error) {
	ctx, end, err := s.files.Operations.Begin(ctx, "save", strconv.Itoa(len(names))+" names", false)
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
// manifest, or else see [missing.Complete].
func (s *Service) keepComplete(ctx context.Context, target ocispec.Descriptor, of []ocispec.Platform) error {
	if err := s.keepImage(ctx, target); err != nil {
		return err
	}
	if len(of) != 1 {
		return s.complete(ctx, target)
	}
	all, err := missing.Manifests(ctx, s.files.Content, target)
	if err != nil {
		return err
	}
	for _, m := range all {
		if len(m.Missing) > 0 && !m.Attests() && m.IsFor(ctx, s.files.Content, of) {
			return missing.Error{Manifest: m}
		}
	}
	return nil
}

// complete is [missing.Complete] for the daemon's snapshotter.
func (s *Service) complete(ctx context.Context, target ocispec.Descriptor) error {
	return missing.Complete(ctx, s.files.Content, s.files.Snapshots(""), target)
}

// keepImage puts what there is of an image under the lease in ctx.
func (s *Service) keepImage(ctx context.Context, target ocispec.Descriptor) error {
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if err := s.files.Operations.KeepBlob(ctx, desc.Digest); err != nil {
			return nil, err
		}
		parts, err := images.Children(ctx, bounded.Image.Provider(s.files.Content), desc)
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return parts, err
	}), target)
}
