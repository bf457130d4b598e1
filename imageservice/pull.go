package imageservice

import (
	"context"
	"errors"
	"slices"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
)

// PullComplete pulls an image with containerd, and makes sure that all of it is
// there. containerd does not fetch layers that are unpacked: if their blobs are gone,
// they are fetched without unpacking. Annotations of layers that would choose a mapping
// of ids for their snapshots are left out.
//
// If that fails the name stands for the new image already; an image that it stood for
// before keeps a record without a name.
func (s *Service) PullComplete(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error) {
	return completePull{puller: s.files.Client, images: s.images, complete: s.complete}.run(ctx, ref, opts...)
}

// withoutIDMaps comes behind the options that set the handler.
func withoutIDMaps(_ *containerd.Client, c *containerd.RemoteContext) error {
	if c.HandlerWrapper != nil {
		c.HandlerWrapper = compat.WithoutIDMaps(c.HandlerWrapper)
	}
	return nil
}

// puller fetches images, and unpacks those that it pulls. [containerd.Client] is one.
type puller interface {
	Pull(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error)
	Fetch(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (images.Image, error)
}

type completePull struct {
	puller   puller
	images   images.Store
	complete func(ctx context.Context, target ocispec.Descriptor) error
}

func (p completePull) run(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error) {
	opts = append(slices.Clone(opts), withoutIDMaps)
	before, beforeErr := p.images.Get(ctx, ref)
	img, err := p.puller.Pull(ctx, ref, opts...)
	if err != nil || !errdefs.IsNotFound(p.complete(ctx, img.Target())) {
		return img, err
	}
	fetched, err := p.puller.Fetch(ctx, ref, append(opts, fetchOnly)...)
	if err == nil {
		client, _ := p.puller.(*containerd.Client)
		return containerd.NewImageWithPlatform(client, fetched, img.Platform()), nil
	}
	if beforeErr == nil && before.Target.Digest != img.Target().Digest {
		_, keepErr := keepDangling(context.WithoutCancel(ctx), p.images, before)
		err = errors.Join(err, keepErr)
	}
	return nil, err
}

// fetchOnly makes [containerd.Client.Fetch] fetch what Pull would, without unpacking
// it.
func fetchOnly(_ *containerd.Client, c *containerd.RemoteContext) error {
	c.Unpack = false
	if len(c.Platforms) == 0 {
		c.PlatformMatcher = platforms.Default()
	}
	return nil
}
