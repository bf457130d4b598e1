package imageservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/image"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
)

// newImage is an image whose layers are stored and that has no record yet.
type newImage struct {
	config          imagespec.DockerOCIImage
	layers          []ocispec.Descriptor // of one media type family, base first
	parent          digest.Digest        // "" for FROM scratch
	containerConfig *container.Config
}

// publish stores an image's config and manifest and makes its record, without
// a name. It returns the image's id.
func (s *Service) publish(ctx context.Context, img newImage) (image.ID, error) {
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
	madeBy, madeByText, err := encode(compat.MediaTypeContainerConfig, img.containerConfig)
	if err != nil {
		return "", err
	}

	chainID := identity.ChainID(img.config.RootFS.DiffIDs)
	for _, b := range []struct {
		desc   ocispec.Descriptor
		text   []byte
		labels map[string]string
	}{
		{madeBy, madeByText, map[string]string{compat.LabelConfigOfImage: manifest.Digest.String()}},
		{config, configText, compat.ConfigLabels(s.snapshotter, chainID, madeBy.Digest)},
		{manifest, manifestText, compat.ManifestLabels(config, img.layers)},
	} {
		if err := writeBlob(ctx, s.content, b.desc, b.text, b.labels); err != nil {
			return "", fmt.Errorf("write %s %s: %w", b.desc.MediaType, b.desc.Digest, err)
		}
	}

	_, err = s.images.Create(ctx, images.Image{
		Name:      compat.DanglingName(manifest.Digest),
		Target:    manifest,
		CreatedAt: time.Now(),
		Labels:    compat.ImageLabels(img.parent, madeBy.Digest),
	})
	// The name holds the digest of all that the record says: a record that
	// exists is the same one.
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return "", fmt.Errorf("create image %s: %w", manifest.Digest, err)
	}
	id := image.ID(manifest.Digest)
	s.LogImageEvent(ctx, id.String(), id.String(), events.ActionCreate)
	return id, nil
}

// encode returns a value as JSON, and the descriptor of that text.
func encode(mediaType string, v any) (ocispec.Descriptor, []byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}, text, nil
}

// writeBlob stores text with labels under the lease in ctx. A blob that exists
// already is put under the lease too, and gets the labels that it lacks: it
// may be somebody else's garbage.
func writeBlob(ctx context.Context, store content.Store, desc ocispec.Descriptor, text []byte, labels map[string]string) (err error) {
	ref := "baleen-" + desc.Digest.String()
	w, err := content.OpenWriter(ctx, store, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return addLabels(ctx, store, desc.Digest, labels)
	}
	if err != nil {
		return err
	}
	defer func() {
		cerr := w.Close()
		if err == nil {
			err = cerr
			return
		}
		ctx, cancel := cleanup(ctx)
		defer cancel()
		if aerr := store.Abort(ctx, ref); aerr != nil && !errdefs.IsNotFound(aerr) {
			err = errors.Join(err, fmt.Errorf("abort: %w", aerr))
		}
	}()
	// The writer may be one that was left half-way, at some offset.
	if err := w.Truncate(0); err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(text)); err != nil {
		return err
	}
	err = w.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		return addLabels(ctx, store, desc.Digest, labels)
	}
	return err
}

// addLabels sets the labels that a blob does not have. One that it has stays:
// another image may live by it.
func addLabels(ctx context.Context, store content.Manager, dgst digest.Digest, labels map[string]string) error {
	info, err := store.Info(ctx, dgst)
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
	_, err = store.Update(ctx, update, paths...)
	return err
}
