package containerd

import (
	"context"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	c8dimages "github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/imageservice"
)

// Baleen is what Moby's image service asks of Baleen's. Without it everything is as in
// Moby.
type Baleen interface {
	// Unpack unpacks the manifest of one platform, in place of containerd.
	Unpack(ctx context.Context, manifest ocispec.Descriptor) error
	// Complete returns an error of the class not found if containerd lacks a part of an
	// image that was here once.
	Complete(ctx context.Context, target ocispec.Descriptor) error
	// PullComplete pulls an image so that it is complete.
	PullComplete(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error)
}

// baleenState is what the image service keeps for Baleen.
type baleenState struct {
	service Baleen
	names   sync.Mutex // held while a name is given to an image
}

// Use makes b unpack images, and look at them before they are exported.
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

// leaseComplete leases what there is of an image, and fails if a part is missing: an
// archive without it could not be loaded.
func (i *ImageService) leaseComplete(ctx context.Context, target ocispec.Descriptor) error {
	if err := i.leaseContent(ctx, i.content, target); err != nil || i.baleen.service == nil {
		return err
	}
	return i.baleen.service.Complete(ctx, target)
}

func (i *ImageService) pull(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error) {
	if i.baleen.service == nil {
		return i.client.Pull(ctx, ref, opts...)
	}
	return i.baleen.service.PullComplete(ctx, ref, opts...)
}
