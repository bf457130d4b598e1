package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
)

// The verbs that give an image a name are Moby's. What is added is that the name
// cannot be taken for an id: see [compat.CheckName].

// TagImage gives an image a name.
func (s *Service) TagImage(ctx context.Context, id moby.ImageID, ref reference.Named) error {
	if err := compat.CheckName(ref); err != nil {
		return compat.DockerError(err)
	}
	return s.upstream.TagImage(ctx, id, ref)
}

// ImportImage makes an image of a tar stream. It gets no name if ref is nil.
func (s *Service) ImportImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, msg string, layerReader io.Reader, changes []string) (moby.ImageID, error) {
	if ref != nil {
		if err := compat.CheckName(ref); err != nil {
			return "", compat.DockerError(err)
		}
	}
	return s.upstream.ImportImage(ctx, ref, platform, msg, layerReader, changes)
}

// PullImage fetches an image from a registry, and names it by where it comes from.
func (s *Service) PullImage(ctx context.Context, ref reference.Named, options moby.PullOptions) error {
	if err := compat.CheckName(ref); err != nil {
		return compat.DockerError(err)
	}
	return s.upstream.PullImage(ctx, ref, options)
}

// LoadImage reads the images of an archive. It learns their names when they have
// been read, and takes back those that it refuses: what else was in the archive
// stays.
func (s *Service) LoadImage(ctx context.Context, inTar io.ReadCloser, platforms moby.Platforms, outStream io.Writer, quiet bool) error {
	before, err := s.ambiguous(ctx)
	if err != nil {
		return compat.DockerError(err)
	}
	err = s.upstream.LoadImage(ctx, inTar, platforms, outStream, quiet)
	return errors.Join(err, compat.DockerError(s.unnameAmbiguous(context.WithoutCancel(ctx), before)))
}

// ambiguousNames is a filter of containerd's for names that [compat.CheckName]
// refuses.
const ambiguousNames = `name~="^docker\\.io/library/sha256[:@]"`

// ambiguous lists images with such names, which earlier versions have allowed.
func (s *Service) ambiguous(ctx context.Context) (names []string, err error) {
	list, err := s.images.List(ctx, ambiguousNames)
	if err != nil {
		return nil, fmt.Errorf("list images with ambiguous names: %w", err)
	}
	for _, img := range list {
		names = append(names, img.Name)
	}
	return names, nil
}

// unnameAmbiguous removes the ambiguous names that are not among known, and returns
// an error that says so.
func (s *Service) unnameAmbiguous(ctx context.Context, known []string) error {
	names, err := s.ambiguous(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		if ref, err := reference.ParseNormalizedNamed(name); err == nil {
			errs = append(errs, compat.CheckName(ref))
		}
		if err := s.images.Delete(ctx, name, images.SynchronousDelete()); err != nil && !cerrdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove image %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
