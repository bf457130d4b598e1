package containerd

import (
	"context"
	"errors"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	c8dimages "github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/imageservice"
)

// Baleen is what Moby's image service asks Baleen's. Without it all is as in Moby.
type Baleen interface {
	// Unpack unpacks the manifest of one platform, in place of containerd.
	Unpack(ctx context.Context, manifest ocispec.Descriptor) error
	// Complete returns an error, of the class not found, if containerd lacks some of
	// an image that was here once.
	Complete(ctx context.Context, target ocispec.Descriptor) error
}

// baleenState is what the image service keeps for Baleen.
type baleenState struct {
	service Baleen
	names   sync.Mutex // held while a name is given to an image
}

// Use has images unpacked, and looked at before they are exported, by b.
func (i *ImageService) Use(b Baleen) { i.baleen.service = b }

func (i *ImageService) unpackManifest(ctx context.Context, img *ImageManifest, snapshotter string) error {
	if i.baleen.service == nil || snapshotter != i.snapshotter {
		return img.Unpack(ctx, snapshotter)
	}
	return i.baleen.service.Unpack(ctx, img.Target())
}

// putImage makes the record of an image, or updates the one of that name.
func (i *ImageService) putImage(ctx context.Context, img c8dimages.Image) error {
	return imageservice.PutImage(ctx, i.images, img)
}

// leaseComplete leases what there is of an image, and fails if that is not all: an
// archive without it could not be loaded.
func (i *ImageService) leaseComplete(ctx context.Context, target ocispec.Descriptor) error {
	if err := i.leaseContent(ctx, i.content, target); err != nil || i.baleen.service == nil {
		return err
	}
	return i.baleen.service.Complete(ctx, target)
}

// pull pulls an image. containerd does not fetch layers that are unpacked: if their
// blobs are gone, they are fetched without unpacking.
func (i *ImageService) pull(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error) {
	before, beforeErr := i.images.Get(ctx, ref)
	img, err := i.client.Pull(ctx, ref, opts...)
	if err != nil || i.baleen.service == nil || !cerrdefs.IsNotFound(i.baleen.service.Complete(ctx, img.Target())) {
		return img, err
	}
	fetched, err := i.client.Fetch(ctx, ref, append(opts, fetchOnly)...)
	if err == nil {
		return containerd.NewImageWithPlatform(i.client, fetched, img.Platform()), nil
	}
	// The name stands for the new image already.
	if beforeErr == nil && before.Target.Digest != img.Target().Digest {
		err = errors.Join(err, i.ensureDanglingImage(ctx, before))
	}
	return nil, err
}

// fetchOnly has [containerd.Client.Fetch] fetch what Pull would, and not unpack it.
func fetchOnly(_ *containerd.Client, c *containerd.RemoteContext) error {
	c.Unpack = false
	if len(c.Platforms) == 0 {
		c.PlatformMatcher = platforms.Default()
	}
	return nil
}
