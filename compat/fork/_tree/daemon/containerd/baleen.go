package containerd

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// UnpackBy has images that are loaded or imported unpacked by unpack, which gets
// the manifest of one platform, instead of by containerd.
func (i *ImageService) UnpackBy(unpack func(ctx context.Context, manifest ocispec.Descriptor) error) {
	i.baleenUnpack = unpack
}

func (i *ImageService) unpackManifest(ctx context.Context, img *ImageManifest, snapshotter string) error {
	if i.baleenUnpack == nil || snapshotter != i.snapshotter {
		return img.Unpack(ctx, snapshotter)
	}
	return i.baleenUnpack(ctx, img.Target())
}
