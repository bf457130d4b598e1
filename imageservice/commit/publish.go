package commit

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
	"github.com/baleen-project/baleen/imageservice/internal/missing"
)

// Image is an image whose layers are stored and that has no record yet.
type Image struct {
	Config imagespec.DockerOCIImage
	Layers []ocispec.Descriptor // of one media type family, base first
	// What the image was committed from; unset if it was not.
	parent          digest.Digest // "" for FROM scratch
	containerConfig *moby.ContainerConfig
}

// publish stores an image's config and manifest and makes its record, without
// a name. It returns the image's id. Meanwhile it does besides what the image
// needs too. names are of before the image's first blob was written.
func (m *Maker) publish(ctx context.Context, img Image, names *blobs.Names, besides func(context.Context) error) (moby.ImageID, error) {
	config, configText, err := blobs.Encode(ocispec.MediaTypeImageConfig, img.Config)
	if err != nil {
		return "", err
	}
	manifest, manifestText, err := blobs.Encode(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    img.Layers,
	})
	if err != nil {
		return "", err
	}
	chainID := identity.ChainID(img.Config.RootFS.DiffIDs)
	parts := []blobs.Blob{
		{Desc: config, Text: configText, Labels: compat.ConfigLabels(m.Files.Snapshotter, chainID)},
		{Desc: manifest, Text: manifestText, Labels: compat.ManifestLabels(config, img.Layers)},
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
		missing.Warn(actx, m.Files.Content, manifest.Digest, img.Layers)
		return nil
	})
	all.Go(func() error {
		if err := m.Blobs.WriteAll(actx, parts); err != nil {
			return err
		}
		return names.Sync()
	})
	if err := all.Wait(); err != nil {
		return "", err
	}

	_, err = m.Images.Create(ctx, images.Image{
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
	m.LogCreated(id, img.Config.Config.Labels)
	return id, nil
}

// LogCreated tells `docker events` of a new image. Its attributes are the
// image's labels and its name, which is still its id.
func (m *Maker) LogCreated(id moby.ImageID, labels map[string]string) {
	attributes := maps.Clone(labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"] = id.String()
	m.Events.Log(moby.ActionCreate, moby.EventTypeImage, moby.EventActor{ID: id.String(), Attributes: attributes})
}
