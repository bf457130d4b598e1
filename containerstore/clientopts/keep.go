package clientopts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
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
	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// Checkpoint keeps a container's image, files, runtime and spec as the image ref, in the
// format of package checkpoint: [WithCheckpoint] and `docker baleen restore` make a
// container of it, and registries take it. A container that runs is paused while its
// files are read; if this process ends meanwhile, it stays paused. If somebody starts or
// resumes it meanwhile, the error is errdefs.ErrConflict. Its processes are not kept; the
// Checkpoint of containerd's client does so, in containerd's format.
//
// The image must be whole in the content store, or the error is
// [checkpoint.MissingParts], and the container's record must lead to it: one without is
// errdefs.ErrFailedPrecondition. A name that exists is errdefs.ErrAlreadyExists.
// Containers whose ids are mapped are errdefs.ErrNotImplemented. After an error nothing
// is left.
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
	if p.active.Name == "" { // it was made without WithNewSnapshot
		active, err := p.Snapshots.Stat(ctx, p.record.SnapshotKey)
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("look up snapshot %s: %w", p.record.SnapshotKey, err)
		}
		p.active = active
	}
	ids, err := p.lookUpIDs(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if ids.Way != containerstore.AsStored {
		return ocispec.Descriptor{}, fmt.Errorf("its user ids are mapped: %w", errdefs.ErrNotImplemented)
	}
	r, err := p.present(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if r.Manifest == nil {
		return ocispec.Descriptor{}, fmt.Errorf("the image that it stands on is not known: %w", errdefs.ErrFailedPrecondition)
	}
	k := keeping{clientContainer: p}
	if err := k.readImage(ctx, r); err != nil {
		return ocispec.Descriptor{}, err
	}
	layer, err := p.keepFiles(ctx)
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

// keepFiles stores what the container changed in its image as a layer. It is paused
// while that is read.
func (p *clientContainer) keepFiles(ctx context.Context) (_ diff.Layer, err error) {
	thaw, err := p.pause(ctx)
	if err != nil {
		return diff.Layer{}, err
	}
	defer func() { err = errors.Join(err, thaw()) }()
	live, err := p.Snapshots.Mounts(ctx, p.active.Name)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("look up mounts of %s: %w", p.active.Name, err)
	}
	var below []mount.Mount
	if _, base := p.own(p.active); base != "" {
		key := p.Container + ":checkpoint-" + rand.Text() + snap.KeySuffix
		// With the label, what a crash leaves is found and removed.
		below, err = p.Snapshots.View(ctx, key, base, snapshots.WithLabels(map[string]string{label.Container: p.Container}))
		defer func() { err = errors.Join(err, p.Undo(ctx, key)) }()
		if err != nil {
			return diff.Layer{}, fmt.Errorf("view snapshot %s: %w", base, err)
		}
	}
	layer, err := tarlayer.FromTrees(ctx, p.Differ, p.Content, below, live)
	if err == nil {
		err = p.unmoved(ctx)
	}
	if err == nil {
		err = p.stoodStill(ctx)
	}
	return layer, err
}

// stoodStill makes sure that nobody has let the container run while it was read: another
// Checkpoint, which found it running, resumes it.
func (p *clientContainer) stoodStill(ctx context.Context) error {
	task, err := p.running(ctx)
	if err == nil && task != nil {
		err = fmt.Errorf("it was started or resumed while its files were read: %w", errdefs.ErrConflict)
	}
	return err
}

// running returns the container's task; nil if it has none, or that does not run.
func (p *clientContainer) running(ctx context.Context) (client.Task, error) {
	c, err := p.client.LoadContainer(ctx, p.Container)
	if err != nil {
		return nil, fmt.Errorf("look up its record: %w", err)
	}
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up its task: %w", err)
	}
	status, err := task.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up the state of its task: %w", err)
	}
	if status.Status != client.Running {
		return nil, nil
	}
	return task, nil
}

// pause pauses the container, if it runs, and returns what lets it go on.
func (p *clientContainer) pause(ctx context.Context) (thaw func() error, err error) {
	task, err := p.running(ctx)
	if err != nil {
		return nil, err
	}
	if task == nil {
		return func() error { return nil }, nil
	}
	thaw = func() error {
		ctx, cancel := snap.Cleanup(ctx)
		defer cancel()
		if err := task.Resume(ctx); err != nil {
			return fmt.Errorf("resume its task: %w", err)
		}
		return nil
	}
	if err := task.Pause(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pause its task: %w", err), thaw())
	}
	return thaw, nil
}

// keeping is a checkpoint that is being written.
type keeping struct {
	*clientContainer
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
