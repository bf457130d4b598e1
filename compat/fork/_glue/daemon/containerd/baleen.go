package containerd

import (
	"context"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/baleen-project/baleen/imageservice"
)

// names is held while a name is given to an image.
var names sync.Mutex

// Unpack has Baleen unpack the image. It hides the method of the embedded image.
func (im *ImageManifest) Unpack(ctx context.Context, snapshotter string, opts ...containerd.UnpackOpt) error {
	return imageservice.Unpack(ctx, im.Image, im.Target(), snapshotter, opts...)
}

func (i *ImageService) pull(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error) {
	return imageservice.Pull(ctx, i.client, ref, opts...)
}
