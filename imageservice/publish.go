package imageservice

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
)

// newImage is an image whose layers are stored and that has no record yet.
type newImage struct {
	config imagespec.DockerOCIImage
	layers []ocispec.Descriptor // of one media type family, base first
	// What the image was committed from; unset if it was not.
	parent          digest.Digest // "" for FROM scratch
	containerConfig *moby.ContainerConfig
}

// publish stores an image's config and manifest and makes its record, without
// a name. It returns the image's id. Meanwhile it does besides what the image
// needs too. names are of before the image's first blob was written.
func (s *Service) publish(ctx context.Context, img newImage, names *blobs.Names, besides func(context.Context) error) (moby.ImageID, error) {
	config, configText, err := blobs.Encode(ocispec.MediaTypeImageConfig, img.config)
	if err != nil {
		return "", err
	}
	manifest, manifestText, err := blobs.Encode(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    img.layers,
	})
	if err != nil {
		return "", err
	}
	chainID := identity.ChainID(img.config.RootFS.DiffIDs)
	parts := []blobs.Blob{
		{Desc: config, Text: configText, Labels: compat.ConfigLabels(s.snapshotter, chainID)},
		{Desc: manifest, Text: manifestText, Labels: compat.ManifestLabels(config, img.layers)},
	}
	var labels map[string]string // of the record
	if img.containerConfig != nil {
		madeBy, text, err := blobs.Encode(compat.MediaTypeContainerConfig, img.containerConfig)
		if err != nil {
			return "", err
		}
		parts = append(parts, blobs.Blob{Desc: madeBy, Text: text, Labels: map[string]string{compat.LabelConfigOfImage: manifest.Digest.String()}})
		compat.RefContainerConfig(parts[0].Labels, madeBy.Digest)
		labels = compat.ImageLabels(img.parent, madeBy.Digest)
	}
	all, actx := errgroup.WithContext(ctx)
	all.Go(func() error { return besides(actx) })
	all.Go(func() error {
		s.warnMissing(actx, manifest.Digest, img.layers)
		return nil
	})
	all.Go(func() error {
		if err := s.blobs.WriteAll(actx, parts); err != nil {
			return err
		}
		return names.Sync()
	})
	if err := all.Wait(); err != nil {
		return "", err
	}

	_, err = s.images.Create(ctx, images.Image{
		Name:      compat.DanglingName(manifest.Digest),
		Target:    manifest,
		CreatedAt: time.Now(),
		Labels:    labels,
	})
	// The name holds the digest of all that the record says: a record that
	// exists is the same one.
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return "", fmt.Errorf("create image %s: %w", manifest.Digest, err)
	}
	id := moby.ImageID(manifest.Digest)
	s.logCreated(id, img.config.Config.Labels)
	return id, nil
}

// logCreated tells `docker events` of a new image. Its attributes are the
// image's labels and its name, which is still its id.
func (s *Service) logCreated(id moby.ImageID, labels map[string]string) {
	attributes := maps.Clone(labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"] = id.String()
	s.events.Log(moby.ActionCreate, moby.EventTypeImage, moby.EventActor{ID: id.String(), Attributes: attributes})
}
