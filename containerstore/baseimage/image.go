package baseimage

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/bounded"
)

// Image is the manifest and the configuration of an image. The zero value is the
// base of a container made FROM scratch.
type Image struct {
	Manifest ocispec.Manifest
	Config   imagespec.DockerOCIImage
}

// Read reads the image that target describes. If that is an index, the
// manifest for platform is taken; blobs of other platforms may be absent.
func Read(ctx context.Context, provider content.Provider, target ocispec.Descriptor, platform ocispec.Platform) (Image, error) {
	manifest, err := ReadManifest(ctx, provider, target, platform)
	if err != nil {
		return Image{}, err
	}
	return ReadConfig(ctx, provider, manifest)
}

// ReadConfig reads the config of an image's manifest.
func ReadConfig(ctx context.Context, provider content.Provider, manifest ocispec.Manifest) (Image, error) {
	b := Image{Manifest: manifest}
	if err := CheckDescriptors(append(slices.Clone(manifest.Layers), manifest.Config)...); err != nil {
		return Image{}, fmt.Errorf("read the image's manifest: %w", err)
	}
	if err := bounded.Image.ReadJSON(ctx, provider, manifest.Config, &b.Config); err != nil {
		return Image{}, fmt.Errorf("read config %s of the image: %w", manifest.Config.Digest, err)
	}
	if err := CheckDigests(b.Config.RootFS.DiffIDs...); err != nil {
		return Image{}, fmt.Errorf("read config %s of the image: %w", manifest.Config.Digest, err)
	}
	if l, d := len(manifest.Layers), len(b.Config.RootFS.DiffIDs); l != d {
		return Image{}, fmt.Errorf("the image has %d layers, and its config %s has %d diffIDs: %w", l, manifest.Config.Digest, d, errdefs.ErrDataLoss)
	}
	return b, nil
}

// ReadManifest reads the manifest that target describes, or, if that is an
// index, the one in it for platform.
func ReadManifest(ctx context.Context, provider content.Provider, target ocispec.Descriptor, platform ocispec.Platform) (m ocispec.Manifest, err error) {
	if images.IsIndexType(target.MediaType) {
		m, err = images.Manifest(ctx, bounded.Image.Provider(provider), target, platforms.Only(platform))
	} else {
		err = bounded.Image.ReadJSON(ctx, provider, target, &m)
	}
	if err != nil {
		return ocispec.Manifest{}, fmt.Errorf("read manifest %s: %w", target.Digest, err)
	}
	return m, nil
}

// CheckDescriptors refuses descriptors whose digest is none, or whose size cannot
// be: others take digests apart, or make labels of them.
func CheckDescriptors(all ...ocispec.Descriptor) error {
	for _, desc := range all {
		if desc.Size < 0 {
			return fmt.Errorf("a part has %d bytes: %w", desc.Size, errdefs.ErrDataLoss)
		}
		if err := CheckDigests(desc.Digest); err != nil {
			return err
		}
	}
	return nil
}

// CheckDigests refuses digests that are none.
func CheckDigests(all ...digest.Digest) error {
	for _, dgst := range all {
		if err := dgst.Validate(); err != nil {
			return fmt.Errorf("%.100q is no digest: %w: %w", string(dgst), err, errdefs.ErrDataLoss)
		}
	}
	return nil
}
