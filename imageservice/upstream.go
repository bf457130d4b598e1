package imageservice

import (
	"context"
	"io"

	c8dimages "github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/moby"
)

// Upstream is what Baleen's verbs call of the service behind them, which in the fork
// is Moby's containerd image service. The verbs that are Moby's alone are not here:
// the daemon asks Moby's service for them.
type Upstream interface {
	// ResolveImage finds the image record that a reference or id means.
	ResolveImage(ctx context.Context, refOrID string) (c8dimages.Image, error)
	GetImage(ctx context.Context, refOrID string, options moby.GetImageOpts) (*moby.Image, error)

	// The following are behind the methods of [Service] with these names.

	PullImage(ctx context.Context, ref reference.Named, options moby.PullOptions) error
	PushImage(ctx context.Context, ref reference.Named, options moby.PushOptions) error
	TagImage(ctx context.Context, imageID moby.ImageID, newTag reference.Named) error
	ExportImage(ctx context.Context, names []string, platforms moby.Platforms, outStream io.Writer) error
	LoadImage(ctx context.Context, inTar io.ReadCloser, platforms moby.Platforms, outStream io.Writer, quiet bool) error
	ImportImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, msg string, layerReader io.Reader, changes []string) (moby.ImageID, error)
	GetImageAndReleasableLayer(ctx context.Context, refOrID string, opts moby.GetImageAndLayerOptions) (moby.BuilderImage, moby.BuilderROLayer, error)
}
