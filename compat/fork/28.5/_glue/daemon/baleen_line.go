package daemon

import (
	"context"
	"io"

	"github.com/distribution/reference"
	ctrd "github.com/docker/docker/daemon/containerd"
	"github.com/docker/docker/volume/service/opts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/moby"
)

// What the glue of all lines names by another path on each.
type (
	mobyImages       = ctrd.ImageService
	mobyImagesConfig = ctrd.ImageServiceConfig
)

var (
	newMobyImages       = ctrd.NewService
	withCreateReference = opts.WithCreateReference
)

// killContainer ends a container's processes.
func killContainer(_ context.Context, daemon *Daemon, c *moby.Container) error { return daemon.Kill(c) }

// PullImage is Baleen's, with the parameters of this line.
func (v imageVerbs) PullImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, headers map[string][]string, auth *moby.AuthConfig, out io.Writer) error {
	return v.Service.PullImage(ctx, ref, moby.PullOptions{Platforms: platform, MetaHeaders: headers, AuthConfig: auth, OutStream: out})
}

// PushImage is Baleen's, with the parameters of this line.
func (v imageVerbs) PushImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, headers map[string][]string, auth *moby.AuthConfig, out io.Writer) error {
	return v.Service.PushImage(ctx, ref, moby.PushOptions{Platforms: platform, MetaHeaders: headers, AuthConfig: auth, OutStream: out})
}

// PullImage is Moby's.
func (u upstreamImages) PullImage(ctx context.Context, ref reference.Named, o moby.PullOptions) error {
	return u.mobyImages.PullImage(ctx, ref, o.Platforms, o.MetaHeaders, o.AuthConfig, o.OutStream)
}

// PushImage is Moby's.
func (u upstreamImages) PushImage(ctx context.Context, ref reference.Named, o moby.PushOptions) error {
	return u.mobyImages.PushImage(ctx, ref, o.Platforms, o.MetaHeaders, o.AuthConfig, o.OutStream)
}
