package containerd

import (
	"context"
	"sync"

	c8dimages "github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/imageservice"
)

// Baleen is what Moby's image service asks Baleen's. Without it all is as in Moby.
type Baleen interface {
	// Unpack unpacks the manifest of one platform, in place of containerd.
	Unpack(ctx context.Context, manifest ocispec.Descriptor) error
}

// baleenState is what the image service keeps for Baleen.
type baleenState struct {
	service Baleen
	names   sync.Mutex // held while a name is given to an image
}

// Use has images unpacked by b.
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
