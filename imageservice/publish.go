package imageservice

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/compat/moby"
)

// newImage is an image whose layers are stored and that has no record yet.
type newImage struct {
	config imagespec.DockerOCIImage
	layers []ocispec.Descriptor // of one media type family, base first
	// What the image was committed from; unset if it was not.
	parent          digest.Digest // "" for FROM scratch
	containerConfig *moby.ContainerConfig
}

// blob is a small one, still to be written.
type blob struct {
	desc   ocispec.Descriptor
	text   []byte
	labels map[string]string
}

// publish stores an image's config and manifest and makes its record, without
// a name. It returns the image's id. Meanwhile it does besides what the image
// needs too. names are of before the image's first blob was written.
func (s *Service) publish(ctx context.Context, img newImage, names *blobNames, besides func(context.Context) error) (moby.ImageID, error) {
	config, configText, err := encode(ocispec.MediaTypeImageConfig, img.config)
	if err != nil {
		return "", err
	}
	manifest, manifestText, err := encode(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    img.layers,
	})
	if err != nil {
		return "", err
	}
	chainID := identity.ChainID(img.config.RootFS.DiffIDs)
	blobs := []blob{
		{config, configText, compat.ConfigLabels(s.snapshotter, chainID)},
		{manifest, manifestText, compat.ManifestLabels(config, img.layers)},
	}
	var labels map[string]string // of the record
	if img.containerConfig != nil {
		madeBy, text, err := encode(compat.MediaTypeContainerConfig, img.containerConfig)
		if err != nil {
			return "", err
		}
		blobs = append(blobs, blob{madeBy, text, map[string]string{compat.LabelConfigOfImage: manifest.Digest.String()}})
		compat.RefContainerConfig(blobs[0].labels, madeBy.Digest)
		labels = compat.ImageLabels(img.parent, madeBy.Digest)
	}
	all, actx := errgroup.WithContext(ctx)
	all.Go(func() error { return besides(actx) })
	all.Go(func() error {
		s.warnMissing(actx, manifest.Digest, img.layers)
		return nil
	})
	all.Go(func() error {
		if err := s.writeBlobs(actx, blobs); err != nil {
			return err
		}
		return names.sync()
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

// writeBlobs stores blobs all at once: each waits for the disk, and none for
// the others.
func (s *Service) writeBlobs(ctx context.Context, blobs []blob) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, b := range blobs {
		all.Go(func() error {
			if err := s.writeBlob(ctx, b); err != nil {
				return fmt.Errorf("write %s %s: %w", b.desc.MediaType, b.desc.Digest, err)
			}
			return nil
		})
	}
	return all.Wait()
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

// encode returns a part of an image as JSON, and the descriptor of that text. What
// could not be read again is an error.
func encode(mediaType string, v any) (ocispec.Descriptor, []byte, error) {
	text, err := json.Marshal(v)
	if err == nil {
		err = bounded.Image.Check(text)
	}
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}, text, nil
}

// writeBlob stores text with labels under the lease in ctx. A blob that exists
// already is put under the lease too, and gets the labels that it lacks: it
// may be somebody else's garbage.
func (s *Service) writeBlob(ctx context.Context, b blob) error {
	err := s.tryWriteBlob(ctx, b)
	if errdefs.IsNotFound(err) { // it existed, and was collected before it was ours
		err = s.tryWriteBlob(ctx, b)
	}
	return err
}

func (s *Service) tryWriteBlob(ctx context.Context, b blob) (err error) {
	w, err := s.ingest(ctx)
	if err != nil {
		return err
	}
	defer func() { err = w.close(ctx, err) }()
	if _, err := w.Write(b.text); err != nil {
		return err
	}
	return w.Commit(ctx, b.desc, b.labels)
}

// adopt keeps a blob that exists, and sets the labels that it does not have. One
// that it has stays: another image may live by it.
func (s *Service) adopt(ctx context.Context, dgst digest.Digest, labels map[string]string) error {
	if err := s.keep(ctx, leases.Resource{ID: dgst.String(), Type: "content"}); err != nil {
		return err
	}
	info, err := s.content.Info(ctx, dgst)
	if err != nil {
		return err
	}
	update := content.Info{Digest: dgst, Labels: map[string]string{}}
	var paths []string
	for k, v := range labels {
		if _, ok := info.Labels[k]; !ok {
			update.Labels[k] = v
			paths = append(paths, "labels."+k)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	_, err = s.content.Update(ctx, update, paths...)
	return err
}
