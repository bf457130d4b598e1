package imageservice

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/missing"
)

// PushImage sends an image to a registry. It is upstream's, but that its error says
// what is missing. What containerd lacks the registry may have: nothing is looked up
// before.
func (s *Service) PushImage(ctx context.Context, ref reference.Named, options moby.PushOptions) error {
	return s.explain(ctx, "push", s.upstream.PushImage(ctx, ref, options), moby.PlatformList(options.Platforms), ref.String())
}

// explain says of an error because something was not found what of the images is
// missing. It decides nothing: a name that may mean several images is taken for all.
func (s *Service) explain(ctx context.Context, verb string, err error, of []ocispec.Platform, names ...string) error {
	if !errdefs.IsNotFound(err) {
		return err
	}
	var known missing.Error
	if !errors.As(err, &known) {
		lacking := s.lacking(ctx, of, names)
		if lacking == nil {
			return err
		}
		err = fmt.Errorf("%w: %w", err, lacking)
	}
	return compat.DockerError(fmt.Errorf("%s %s: %w", verb, strings.Join(names, ", "), err))
}

// lacking returns a missing.Error if something of the images of these names is
// missing, for some platforms if there are any.
func (s *Service) lacking(ctx context.Context, of []ocispec.Platform, names []string) error {
	for _, name := range names {
		for _, img := range s.named(ctx, name) {
			all, err := missing.Manifests(ctx, s.files.Content, img.Target)
			if err != nil {
				log.G(ctx).WithError(err).WithField("image", img.Name).Debug("could not look for what is missing of an image")
			}
			for _, m := range all {
				if len(m.Missing) > 0 && !m.Attests() && m.IsFor(ctx, s.files.Content, of) {
					return missing.Error{Manifest: m}
				}
			}
		}
	}
	return nil
}

// named are the images that a name may mean: the one, or all of a repository.
func (s *Service) named(ctx context.Context, name string) []images.Image {
	var found []images.Image
	if img, err := s.upstream.ResolveImage(ctx, name); err == nil {
		found = append(found, img)
	}
	if ref, err := reference.ParseNormalizedNamed(name); err == nil && reference.IsNameOnly(ref) {
		tags, err := s.images.List(ctx, fmt.Sprintf("name~=%q", "^"+regexp.QuoteMeta(ref.Name())+":"))
		if err == nil {
			found = append(found, tags...)
		}
	}
	return found
}
