package daemon

import (
	"context"
	"io"

	"github.com/distribution/reference"
	ctrd "github.com/docker/docker/daemon/containerd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// imageVerbs is the daemon's image service. The verbs of package imageservice hide
// Moby's, which are one level deeper; all others are Moby's. The lists of verbs in
// compat/fork say which are whose.
type imageVerbs struct {
	*imageservice.Service
	upstreamImages
}

// PullImage is Baleen's, with the parameters of this line.
func (v imageVerbs) PullImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, headers map[string][]string, auth *moby.AuthConfig, out io.Writer) error {
	return v.Service.PullImage(ctx, ref, moby.PullOptions{Platforms: platform, MetaHeaders: headers, AuthConfig: auth, OutStream: out})
}

// PushImage is Baleen's, with the parameters of this line.
func (v imageVerbs) PushImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, headers map[string][]string, auth *moby.AuthConfig, out io.Writer) error {
	return v.Service.PushImage(ctx, ref, moby.PushOptions{Platforms: platform, MetaHeaders: headers, AuthConfig: auth, OutStream: out})
}

// upstreamImages is Moby's image service, but that its conflicts name revisions.
type upstreamImages struct {
	*ctrd.ImageService
	images *lifecycle.Images
}

// PullImage is Moby's.
func (u upstreamImages) PullImage(ctx context.Context, ref reference.Named, o moby.PullOptions) error {
	return u.ImageService.PullImage(ctx, ref, o.Platforms, o.MetaHeaders, o.AuthConfig, o.OutStream)
}

// PushImage is Moby's.
func (u upstreamImages) PushImage(ctx context.Context, ref reference.Named, o moby.PushOptions) error {
	return u.ImageService.PushImage(ctx, ref, o.Platforms, o.MetaHeaders, o.AuthConfig, o.OutStream)
}

// ImageDelete says which revision an image is needed for, where Moby would take it for a
// stopped container.
func (u upstreamImages) ImageDelete(ctx context.Context, ref string, options moby.ImageDeleteOption) ([]moby.ImageDeleted, error) {
	deleted, err := u.ImageService.ImageDelete(ctx, ref, options)
	return deleted, u.images.DeleteError(ctx, ref, err, u.imageID)
}

func (u upstreamImages) imageID(ctx context.Context, ref string) (moby.ImageID, error) {
	img, err := u.ResolveImage(ctx, ref)
	return moby.ImageID(img.Target.Digest), err
}
