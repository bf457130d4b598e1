package clientopts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/containerd/v2/pkg/protobuf/proto"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/containerd/typeurl/v2"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/blob"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
)

// Checkpoint keeps a container's image, files, runtime and spec as the image ref, in the
// format of package checkpoint: [WithCheckpoint] and `docker baleen restore` make a
// container of it, and registries take it. A container that runs is paused while its
// files are read. If this process ends meanwhile, it stays paused until [Thaw] or [Discard]
// is called, or Checkpoint after a minute. If somebody starts or resumes it meanwhile, or
// makes another checkpoint of it, the error is errdefs.ErrConflict. Its processes are not
// kept; the Checkpoint of containerd's client does so, in containerd's format.
//
// The image must be whole in the content store, or the error is
// [checkpoint.MissingParts], and the container's record must lead to it: one without is
// errdefs.ErrFailedPrecondition. A name that exists is errdefs.ErrAlreadyExists.
// After an error nothing is left.
//
// Of a container with a user namespace the checkpoint has the ids that files have inside
// of it, and says the mapping. Files that got other ids in the container's own snapshot
// are errdefs.ErrNotImplemented.
//
// To Docker the container is its image with the arguments, environment, directory and
// user of its spec; what else the spec asks for [WithCheckpoint] alone restores.
func Checkpoint(ctx context.Context, cl *client.Client, id, ref string) (_ client.Image, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint container %s as %s: %w", id, ref, err)
		}
	}()
	ctx, end, err := operation(ctx, cl, "checkpoint", id)
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()
	p, err := look(ctx, cl, id)
	if err != nil {
		return nil, err
	}
	if _, err := cl.ImageService().Get(ctx, ref); err == nil {
		return nil, fmt.Errorf("image %s: %w", ref, errdefs.ErrAlreadyExists)
	}
	target, err := p.keep(ctx)
	if err != nil {
		return nil, err
	}
	record, err := cl.ImageService().Create(ctx, images.Image{Name: ref, Target: target})
	if err != nil {
		return nil, err
	}
	return client.NewImage(cl, record), nil
}

// keep stores all parts of a checkpoint, and returns its index.
func (p *clientContainer) keep(ctx context.Context) (ocispec.Descriptor, error) {
	if p.record.SnapshotKey == "" {
		return ocispec.Descriptor{}, fmt.Errorf("it has no snapshot: %w", errdefs.ErrFailedPrecondition)
	}
	if err := p.lookUpActive(ctx); err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := p.thawLeft(ctx, false); err != nil {
		return ocispec.Descriptor{}, err
	}
	ids, err := p.lookUpIDs(ctx)
	if err == nil {
		err = restorable(ids, p.record.Spec)
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	r, err := p.present(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if r.Manifest == nil {
		return ocispec.Descriptor{}, fmt.Errorf("the image that it stands on is not known: %w", errdefs.ErrFailedPrecondition)
	}
	k := keeping{clientContainer: p, ids: ids}
	if err := k.readImage(ctx, r); err != nil {
		return ocispec.Descriptor{}, err
	}
	layer, err := p.keepFiles(ctx, ids)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := k.describe(ctx, r, layer); err != nil {
		return ocispec.Descriptor{}, err
	}
	// The image's blobs may have been removed meanwhile.
	_, err = checkpoint.Read(ctx, p.Content, k.index)
	return k.index, err
}

// restorable makes sure that the spec has the mapping of the container's files, by which
// WithCheckpoint maps them again.
func restorable(ids containerstore.IDs, spec interface{ GetValue() []byte }) error {
	if ids.Way == containerstore.AsStored {
		return nil
	}
	m, err := specIDs(spec)
	if err == nil && !reflect.DeepEqual(m, ids.Map) {
		err = fmt.Errorf("its spec maps ids in another way than its files: %w", errdefs.ErrFailedPrecondition)
	}
	return err
}

// keeping is a checkpoint that is being written.
type keeping struct {
	*clientContainer
	ids      containerstore.IDs
	manifest ocispec.Descriptor // of the container's image
	image    baseimage.Image
	index    ocispec.Descriptor
}

// readImage finds the manifest of the container's image for its platform.
func (k *keeping) readImage(ctx context.Context, r containerstore.Record) (err error) {
	k.manifest = *r.Manifest
	if images.IsIndexType(k.manifest.MediaType) {
		var index ocispec.Index
		if err := bounded.Image.ReadJSON(ctx, k.Content, *r.Manifest, &index); err != nil {
			return fmt.Errorf("read the index of image %s: %w", r.Image, err)
		}
		fits := platforms.Only(r.Platform)
		i := slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			return images.IsManifestType(d.MediaType) && d.Platform != nil && fits.Match(*d.Platform)
		})
		if i < 0 {
			return fmt.Errorf("image %s has no manifest for %s: %w", r.Image, platforms.FormatAll(r.Platform), errdefs.ErrNotFound)
		}
		k.manifest = index.Manifests[i]
	}
	k.manifest.Platform, k.manifest.Annotations = nil, nil
	k.image, err = baseimage.Read(ctx, k.Content, k.manifest, r.Platform)
	return err
}

// describe stores what a checkpoint has besides layers.
func (k *keeping) describe(ctx context.Context, r containerstore.Record, layer diff.Layer) error {
	now := time.Now().UTC()
	c := &checkpoint.Checkpoint{
		Platform: k.image.Config.Platform, Image: r.Image, Runtime: k.record.Runtime.Name, Snapshotter: k.Snapshotter,
		Name: k.Container, Created: now, Layers: ociLayers(k.image.Manifest.Layers), Base: &k.manifest, BaseConfig: &k.image.Manifest.Config,
	}
	if k.ids.Way != containerstore.AsStored {
		c.IDs = snap.FormatIDs(k.ids.Map)
	}
	config := k.image.Config
	config.RootFS.DiffIDs, config.History = slices.Clone(config.RootFS.DiffIDs), slices.Clone(config.History)
	if !layer.Empty() {
		c.Own, c.Layers = []diff.Layer{layer}, append(c.Layers, layer.Blob)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.DiffID)
	}
	config.Created = &now
	config.History = append(config.History, ocispec.History{Created: &now, Comment: "checkpoint of container " + k.Container, EmptyLayer: layer.Empty()})
	of := k.image.Config.Config
	config.Config = imagespec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{
		User: of.User, Env: of.Env, WorkingDir: of.WorkingDir, Cmd: []string{checkpoint.Hint},
		Labels: snap.With(of.Labels, map[string]string{checkpoint.LabelKind: c.Kind()}),
	}}
	described, err := k.forDocker(r, now)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		mediaType string
		value     any
		into      **ocispec.Descriptor
	}{{ocispec.MediaTypeImageConfig, config, &c.Config}, {checkpoint.MediaTypeContainer, described, &c.Container}} {
		b, err := checkpoint.EncodePart(part.mediaType, part.value)
		if err == nil {
			*part.into, err = &b.Desc, k.write(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	if c.Spec, err = k.writeAny(ctx, images.MediaTypeContainerd1CheckpointConfig, k.record.Spec); err != nil {
		return err
	}
	if c.RuntimeOptions, err = k.writeAny(ctx, images.MediaTypeContainerd1CheckpointRuntimeOptions, k.record.Runtime.Options); err != nil {
		return err
	}
	manifest, index, err := c.Encode()
	if err == nil {
		err = k.write(ctx, manifest)
	}
	if err != nil {
		return err
	}
	k.index = index.Desc
	return k.write(ctx, index)
}

// ociTypes are the media types of the image specification for Docker's: a manifest has
// those of one family.
var ociTypes = map[string]string{
	images.MediaTypeDockerSchema2Layer:     ocispec.MediaTypeImageLayer,
	images.MediaTypeDockerSchema2LayerGzip: ocispec.MediaTypeImageLayerGzip,
	images.MediaTypeDockerSchema2LayerZstd: ocispec.MediaTypeImageLayerZstd,
}

func ociLayers(layers []ocispec.Descriptor) []ocispec.Descriptor {
	layers = slices.Clone(layers)
	for i, l := range layers {
		layers[i].MediaType = cmp.Or(ociTypes[l.MediaType], l.MediaType)
	}
	return layers
}

func (k *keeping) write(ctx context.Context, b checkpoint.Blob) error {
	if err := blob.Write(ctx, k.Content, bytes.NewReader(b.Text), b.Desc, content.WithLabels(b.Labels)); err != nil {
		return fmt.Errorf("write %s: %w", b.Desc.MediaType, err)
	}
	return nil
}

// writeAny stores a part that containerd encodes; nil if there is none.
func (k *keeping) writeAny(ctx context.Context, mediaType string, value typeurl.Any) (*ocispec.Descriptor, error) {
	if value == nil || value.GetTypeUrl() == "" {
		return nil, nil
	}
	text, err := proto.Marshal(typeurl.MarshalProto(value))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	b := checkpoint.Blob{Text: text, Desc: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}}
	return &b.Desc, k.write(ctx, b)
}

// forDocker is the container as Docker would have been asked for it.
func (k *keeping) forDocker(r containerstore.Record, now time.Time) (checkpoint.Container, error) {
	c := checkpoint.Container{
		ID: k.Container, Name: k.Container, Created: now, Image: r.Image, ImageID: r.ImageID, Manifest: &k.manifest,
		Platform: k.image.Config.Platform, HostConfig: json.RawMessage("{}"), Networks: json.RawMessage("{}"),
	}
	config := struct {
		Image, User, WorkingDir string
		Env, Entrypoint, Cmd    []string
		Tty                     bool
	}{Image: r.Image}
	if k.record.Spec != nil {
		var s oci.Spec
		if err := json.Unmarshal(k.record.Spec.GetValue(), &s); err != nil {
			return c, fmt.Errorf("read its spec: %w", err)
		}
		if s.Process != nil {
			config.Env, config.Cmd, config.WorkingDir, config.Tty = s.Process.Env, s.Process.Args, s.Process.Cwd, s.Process.Terminal
			config.Entrypoint = []string{""} // Cmd has it
			config.User = strconv.FormatUint(uint64(s.Process.User.UID), 10) + ":" + strconv.FormatUint(uint64(s.Process.User.GID), 10)
		}
		for _, m := range s.Mounts {
			if m.Type == "bind" {
				c.Volumes = append(c.Volumes, m.Destination)
			}
		}
	}
	var err error
	c.Config, err = json.Marshal(config)
	return c, err
}
