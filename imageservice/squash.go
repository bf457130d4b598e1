package imageservice

import (
	"context"
	"fmt"

	"github.com/distribution/reference"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
)

// SquashImage makes an image like one that exists, with the layers of parent
// and a single one more, into which all others are merged; without a parent,
// with a single layer. `docker build --squash` of the classic builder uses it.
// Both images stay.
func (s *Service) SquashImage(id, parent string) (string, error) {
	return s.squashImage(s.background(), id, parent)
}

// ImageComponent is what a build does with images, as in package build of
// api/server/backend.
type ImageComponent interface {
	SquashImage(id, parent string) (string, error)
	TagImage(ctx context.Context, id moby.ImageID, newTag reference.Named) error
}

// BuildImages returns the images of a build: one that is squashed ends with the
// build's context.
func BuildImages(ctx context.Context, images ImageComponent) ImageComponent {
	if s, ok := images.(squasher); ok {
		return buildImages{s, ctx}
	}
	return images
}

// squasher is a [Service], or what embeds one.
type squasher interface {
	ImageComponent
	squashImage(ctx context.Context, id, parent string) (string, error)
}

type buildImages struct {
	squasher
	ctx context.Context
}

// SquashImage is the service's.
func (b buildImages) SquashImage(id, parent string) (string, error) {
	return b.squashImage(b.ctx, id, parent)
}

func (s *Service) squashImage(ctx context.Context, id, parent string) (string, error) {
	squashed, err := s.commits.Squash(ctx, id, parent)
	if err != nil {
		return "", compat.DockerError(fmt.Errorf("squash image %s: %w", id, err))
	}
	return squashed, nil
}
