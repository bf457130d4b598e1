package layers

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/snapshotter"
)

// ErrCheckpoint says that an image is a checkpoint.
var ErrCheckpoint = fmt.Errorf("it is a checkpoint of a container, and not an image to run or to build on: `docker baleen restore` makes the container again: %w", errdefs.ErrInvalidArgument)

// Unpack returns the snapshot of an image's layers, and makes it when it does
// not exist. Without a manifest it is "", the parent of FROM scratch. It works
// under the lease in ctx.
func (s *Store) Unpack(ctx context.Context, target *ocispec.Descriptor) (string, error) {
	if target == nil {
		return "", nil
	}
	// The manifest is for one platform already; which one is not our concern.
	manifest, err := baseimage.ReadManifest(ctx, s.Files.Content, *target, platforms.DefaultSpec())
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(strings.ToLower(manifest.Config.MediaType), "application/vnd.docker.ai.") {
		return "", fmt.Errorf("image %s is an AI model: the engine does not run those, `docker model run` does: %w", target.Digest, errdefs.ErrInvalidArgument)
	}
	if checkpoint.IsCheckpoint(manifest) {
		return "", fmt.Errorf("image %s: %w", target.Digest, ErrCheckpoint)
	}
	img, err := baseimage.ReadConfig(ctx, s.Files.Content, manifest)
	if err != nil {
		return "", err
	}
	chainID := identity.ChainID(img.Config.RootFS.DiffIDs)
	if chainID == "" {
		return "", nil
	}
	_, err = s.Files.Snapshots("").Stat(ctx, chainID.String())
	if errdefs.IsNotFound(err) {
		err = s.unpackLayers(ctx, *target, img)
	}
	if err != nil {
		return "", fmt.Errorf("unpack image %s: %w", target.Digest, err)
	}
	return chainID.String(), nil
}

// unpackLayers makes the snapshots of an image, and has the image keep them.
func (s *Store) unpackLayers(ctx context.Context, target ocispec.Descriptor, img baseimage.Image) error {
	if slices.ContainsFunc(img.Manifest.Layers, foreign) {
		return containerd.NewImageWithPlatform(s.Files.Client, images.Image{Target: target}, platforms.All).Unpack(ctx, s.Files.Snapshotter)
	}
	diffIDs := img.Config.RootFS.DiffIDs
	layers := make([]diff.Layer, len(diffIDs))
	for i, id := range diffIDs {
		layers[i] = diff.Layer{Blob: img.Manifest.Layers[i], DiffID: id}
		// One that exists may be garbage, which its name in the lease prevents.
		chainID := identity.ChainID(diffIDs[:i+1])
		if err := s.Files.Keep(ctx, chainID.String()); err != nil {
			return err
		}
	}
	top, err := snapshotter.ApplyLayers(ctx, s.Files.Snapshots(""), layers, s.Blobs.Fetch, snapshotter.ChainOptions{AtOnce: unpackAtOnce(), Limit: s.Limit})
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := s.Blobs.Adopt(ctx, l.Blob.Digest, map[string]string{compat.LabelUncompressed: l.DiffID.String()}); err != nil {
			return err
		}
	}
	return s.Blobs.Adopt(ctx, img.Manifest.Config.Digest, compat.ConfigLabels(s.Files.Snapshotter, top))
}

// unpackAtOnce is how many layers are unpacked at the same time: two for each
// processor, since one waits for the disk often, but no more than a disk is
// served by.
func unpackAtOnce() int { return min(2*runtime.GOMAXPROCS(0), 8) }

// foreign reports whether a layer is of a kind that only containerd's own
// differ may know, through a stream processor: an encrypted one for example.
func foreign(layer ocispec.Descriptor) bool {
	_, known := compress.KindOf(layer.MediaType)
	return !known
}
