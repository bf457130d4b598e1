package containerstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Base is the image that a container stands on. The zero value is the base of
// a container made FROM scratch.
type Base struct {
	Manifest ocispec.Manifest
	Config   imagespec.DockerOCIImage
}

// ReadBase reads the image that target describes. If that is an index, the
// manifest for platform is taken; blobs of other platforms may be absent.
func ReadBase(ctx context.Context, provider content.Provider, target ocispec.Descriptor, platform ocispec.Platform) (Base, error) {
	var (
		b   Base
		err error
	)
	if images.IsIndexType(target.MediaType) {
		b.Manifest, err = images.Manifest(ctx, provider, target, platforms.Only(platform))
	} else {
		err = readJSON(ctx, provider, target, &b.Manifest)
	}
	if err != nil {
		return Base{}, fmt.Errorf("read manifest %s: %w", target.Digest, err)
	}
	if err := readJSON(ctx, provider, b.Manifest.Config, &b.Config); err != nil {
		return Base{}, fmt.Errorf("read config %s of image %s: %w", b.Manifest.Config.Digest, target.Digest, err)
	}
	return b, nil
}

func readJSON(ctx context.Context, provider content.Provider, desc ocispec.Descriptor, into any) error {
	text, err := content.ReadBlob(ctx, provider, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
