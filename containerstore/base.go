package containerstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
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
	manifest, err := ReadManifest(ctx, provider, target, platform)
	if err != nil {
		return Base{}, err
	}
	return ReadConfig(ctx, provider, manifest)
}

// ReadConfig reads the config of an image's manifest.
func ReadConfig(ctx context.Context, provider content.Provider, manifest ocispec.Manifest) (Base, error) {
	b := Base{Manifest: manifest}
	if err := readJSON(ctx, provider, manifest.Config, &b.Config); err != nil {
		return Base{}, fmt.Errorf("read config %s of the image: %w", manifest.Config.Digest, err)
	}
	if l, d := len(manifest.Layers), len(b.Config.RootFS.DiffIDs); l != d {
		return Base{}, fmt.Errorf("the image has %d layers, and its config %s has %d diffIDs: %w", l, manifest.Config.Digest, d, errdefs.ErrDataLoss)
	}
	return b, nil
}

// ReadManifest reads the manifest that target describes, or, if that is an
// index, the one in it for platform.
func ReadManifest(ctx context.Context, provider content.Provider, target ocispec.Descriptor, platform ocispec.Platform) (m ocispec.Manifest, err error) {
	if images.IsIndexType(target.MediaType) {
		m, err = images.Manifest(ctx, provider, target, platforms.Only(platform))
	} else {
		err = readJSON(ctx, provider, target, &m)
	}
	if err != nil {
		return ocispec.Manifest{}, fmt.Errorf("read manifest %s: %w", target.Digest, err)
	}
	return m, nil
}

func readJSON(ctx context.Context, provider content.Provider, desc ocispec.Descriptor, into any) error {
	text, err := content.ReadBlob(ctx, provider, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	return nil
}
