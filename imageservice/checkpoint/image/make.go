package image

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/imageservice/checkpoint/settings"
	"github.com/baleen-project/baleen/imageservice/commit"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/missing"
	"github.com/baleen-project/baleen/imageservice/internal/pause"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
	"github.com/baleen-project/baleen/imageservice/internal/progress"
)

// Options says how a checkpoint is made.
type Options struct {
	// Spec is the runtime spec that the container runs with; nil if it does not.
	Spec []byte
	// Dump keeps the container's processes, which are paused for that and until
	// its files are read, under the lease in the context; nil to keep files alone.
	// CRIU is the version of what it keeps them with.
	Dump func(ctx context.Context) (ocispec.Descriptor, error)
	CRIU string
	// Plain is what the daemon gives to a container of which nothing is asked.
	Plain *moby.HostConfig
	// Pause pauses the container while it is read; nil for a container that does not run.
	Pause pause.Func
	// Warnings are told with what has been made.
	Warnings []string
	// Tell is told what goes on.
	Tell func(status string)
	// Bytes, if it is set, is told how far the last of these has got.
	Bytes progress.Func
}

// Checkpoint keeps a container's files and configuration, and its processes if
// asked to, as an image without a name: one that [Store.PrepareRestore] makes a
// container of.
func (s *Store) Checkpoint(ctx context.Context, ctr *moby.Container, o Options) (api.Checkpoint, error) {
	made, err := s.checkpoint(ctx, ctr, o)
	if err != nil {
		return api.Checkpoint{}, compat.DockerError(fmt.Errorf("checkpoint container %s: %w", ctr.ID, err))
	}
	return made, nil
}

func (s *Store) checkpoint(ctx context.Context, ctr *moby.Container, o Options) (_ api.Checkpoint, err error) {
	defer s.Files.Locks.Read(ctr.ID)()
	ctx, t, finish := phases.Begin(ctx, "checkpoint", ctr.ID)
	defer func() { finish(err) }()
	ctx, end, err := s.Files.Operations.Begin(ctx, "checkpoint", ctr.ID, o.Pause != nil)
	if err != nil {
		return api.Checkpoint{}, err
	}
	defer func() { end(err) }()

	began := time.Now()
	var paused time.Duration
	o.Pause = timed(o.Pause, &paused)
	ctx = progress.With(ctx, o.Bytes)
	o.Tell("looking at the container")
	l, err := s.Commits.Look(ctx, t, ctr)
	if err != nil {
		return api.Checkpoint{}, err
	}
	if err := s.wholeBase(ctx, ctr, l.Base); err != nil {
		return api.Checkpoint{}, err
	}
	own, process, err := s.keepState(ctx, t, ctr, l, o)
	if err != nil {
		return api.Checkpoint{}, err
	}
	if process != nil {
		if process, err = s.packProcess(ctx, t, *process, o); err != nil {
			return api.Checkpoint{}, err
		}
	}
	o.Tell("storing the checkpoint")
	ctx, done := t.Phase(ctx, "publish")
	published, err := s.publishCheckpoint(ctx, ctr, l.Base, own, process, o, began)
	published.Paused = paused
	done(err)
	return published, err
}

// keepState stores what a container changed, as layers, and what is asked for of
// its processes. It is paused while it is read; what is sealed is read before.
func (s *Store) keepState(ctx context.Context, t *phases.Operation, ctr *moby.Container, l commit.Origin, o Options) (own []diff.Layer, process *ocispec.Descriptor, err error) {
	live, below, err := s.splitSealed(ctx, t, ctr, l, o)
	if err != nil {
		return nil, nil, err
	}
	live.Pause = o.Pause
	if o.Dump != nil {
		// One pause for both: the files are those that the processes know.
		thaw := o.Pause.Begin()
		defer thaw()
		o.Tell("keeping the processes")
		dumped, err := dump(ctx, t, o)
		if err != nil {
			return nil, nil, err
		}
		process = &dumped
		live.Pause = func() func() { return thaw }
	}
	o.Tell("reading what it changed")
	made, err := s.Commits.Seal(ctx, t, ctr, live)
	if err != nil {
		return nil, nil, err
	}
	made.Drop(ctx) // it was for reading alone: a restore applies the layer
	if made.Whole {
		below = nil // it is all in there
	}
	return s.ownLayers(ctx, ctr, below, made.Layer), process, nil
}

// timed returns a pause that tells how long it was when it has ended.
func timed(pause pause.Func, took *time.Duration) pause.Func {
	if pause == nil {
		return nil
	}
	return func() func() {
		thaw, began := pause(), time.Now()
		return func() {
			thaw()
			*took = time.Since(began)
		}
	}
}

func dump(ctx context.Context, t *phases.Operation, o Options) (ocispec.Descriptor, error) {
	ctx, done := t.Phase(ctx, "dump")
	dumped, err := o.Dump(ctx)
	done(err)
	return dumped, err
}

// wholeBase makes sure that all of the container's image is there: without it a
// checkpoint could not be restored.
func (s *Store) wholeBase(ctx context.Context, ctr *moby.Container, base baseimage.Image) error {
	if ctr.ImageManifest == nil {
		return nil
	}
	if !images.IsManifestType(ctr.ImageManifest.MediaType) {
		return fmt.Errorf("its image is known as a %s alone: %w", ctr.ImageManifest.MediaType, errdefs.ErrNotImplemented)
	}
	gone, err := missing.Blobs(ctx, s.Files.Content, base.Manifest.Layers)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		return fmt.Errorf("a checkpoint holds the container's image, too: %w", missing.Error{Manifest: missing.Manifest{Desc: *ctr.ImageManifest, Missing: gone}})
	}
	return nil
}

// publishCheckpoint stores what a checkpoint holds besides layers, and makes its
// record.
func (s *Store) publishCheckpoint(ctx context.Context, ctr *moby.Container, base baseimage.Image, own []diff.Layer, process *ocispec.Descriptor, o Options, began time.Time) (api.Checkpoint, error) {
	plain := o.Plain
	if o.Dump != nil { // processes go on where they were, and keep all
		plain = nil
	}
	described, err := settings.Describe(ctr, plain, began)
	if err != nil {
		return api.Checkpoint{}, err
	}
	c, parts, err := s.checkpointParts(ctr, base, own, process, described, o)
	if err != nil {
		return api.Checkpoint{}, err
	}
	if err := s.keepBase(ctx, c); err != nil {
		return api.Checkpoint{}, err
	}
	if err := s.Blobs.WriteAll(ctx, parts); err != nil {
		return api.Checkpoint{}, err
	}
	index := parts[len(parts)-1].Desc
	made := api.Checkpoint{
		ID: index.Digest, Container: described.ID, Name: described.Name, Kind: c.Kind(), Image: c.Image,
		Warnings: slices.Clone(o.Warnings),
	}
	for _, l := range own {
		made.Layer += l.Blob.Size
	}
	if len(described.Volumes) > 0 {
		made.Warnings = append(made.Warnings, "the files of volumes are not in the checkpoint: "+strings.Join(described.Volumes, ", "))
	}
	if err := s.measure(ctx, &made, c, parts, began); err != nil {
		return api.Checkpoint{}, err
	}
	_, err = s.Images.Create(ctx, images.Image{Name: compat.DanglingName(index.Digest), Target: index, CreatedAt: time.Now()})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return api.Checkpoint{}, fmt.Errorf("create image %s: %w", index.Digest, err)
	}
	s.Commits.LogCreated(moby.ImageID(index.Digest), nil)
	return made, nil
}

// checkpointParts describes a checkpoint whose layers are stored, and returns
// the blobs that are not; the last one is its index.
func (s *Store) checkpointParts(ctr *moby.Container, base baseimage.Image, own []diff.Layer, process *ocispec.Descriptor, described checkpoint.Container, o Options) (*checkpoint.Checkpoint, []blobs.Blob, error) {
	c := &checkpoint.Checkpoint{
		Platform: commit.Platform(base.Config.Platform, ctr.ImagePlatform), Image: imageName(described), Own: own,
		Runtime: runtimeName(ctr.HostConfig.Runtime), Snapshotter: ctr.Driver, Name: described.Name, Created: described.Created,
		Process: process, CRIU: o.CRIU,
	}
	if ctr.ImageManifest != nil {
		manifest := *ctr.ImageManifest
		manifest.Platform, manifest.Annotations = nil, nil
		c.Base, c.BaseConfig = &manifest, &base.Manifest.Config
	}
	img := withOwn(base, ctr.ImagePlatform, own, moby.CommitConfig{
		Config: hintConfig(ctr.Config, c.Kind()), ContainerConfig: ctr.Config,
		Comment: "checkpoint of container " + described.Name,
	}, described.Created)
	c.Layers = img.Layers
	config, text, err := blobs.Encode(ocispec.MediaTypeImageConfig, img.Config)
	if err != nil {
		return nil, nil, err
	}
	c.Config = &config
	parts := []blobs.Blob{{Desc: config, Text: text, Labels: compat.ConfigLabels(s.Files.Snapshotter, identity.ChainID(base.Config.RootFS.DiffIDs))}}
	part, err := checkpoint.EncodePart(checkpoint.MediaTypeContainer, described)
	if err != nil {
		return nil, nil, err
	}
	c.Container, parts = &part.Desc, append(parts, blobs.Blob(part))
	if o.Spec != nil {
		desc := ocispec.Descriptor{MediaType: images.MediaTypeContainerd1CheckpointConfig, Digest: digest.FromBytes(o.Spec), Size: int64(len(o.Spec))}
		c.Spec, parts = &desc, append(parts, blobs.Blob{Desc: desc, Text: o.Spec})
	}
	manifest, index, err := c.Encode()
	if err == nil {
		index.Labels[labelMadeBy] = s.Owner
	}
	return c, append(parts, blobs.Blob(manifest), blobs.Blob(index)), err
}

// imageName is what containerd calls an image of Docker's; "" if it was asked for
// by its id.
func imageName(of checkpoint.Container) string {
	named, err := reference.ParseNormalizedNamed(of.Image)
	if err != nil || of.ImageID == "" || strings.HasPrefix(of.ImageID.Encoded(), strings.TrimPrefix(of.Image, of.ImageID.Algorithm().String()+":")) {
		return ""
	}
	return reference.TagNameOnly(named).String()
}

// runtimeName is what containerd calls a runtime of Docker's: by a name with dots,
// and runc by two.
func runtimeName(docker string) string {
	if strings.Contains(docker, ".") {
		return docker
	}
	return "io.containerd.runc.v2"
}

// hintConfig is the configuration of a checkpoint as an image.
func hintConfig(of *moby.ContainerConfig, kind string) *moby.ContainerConfig {
	labels := maps.Clone(of.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[checkpoint.LabelKind] = kind
	return &moby.ContainerConfig{
		User: of.User, Env: of.Env, WorkingDir: of.WorkingDir, Labels: labels, Cmd: []string{checkpoint.Hint},
	}
}

// keepBase puts what a checkpoint has of the container's image under the lease.
func (s *Store) keepBase(ctx context.Context, c *checkpoint.Checkpoint) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, desc := range append(slices.Clone(c.Layers), deref(c.Base), deref(c.BaseConfig)) {
		if desc.Digest != "" {
			all.Go(func() error {
				return s.Files.Operations.KeepBlob(ctx, desc.Digest)
			})
		}
	}
	return all.Wait()
}

func deref(d *ocispec.Descriptor) ocispec.Descriptor {
	if d == nil {
		return ocispec.Descriptor{}
	}
	return *d
}

// measure adds up what a checkpoint weighs, and what of it is new since began.
func (s *Store) measure(ctx context.Context, made *api.Checkpoint, c *checkpoint.Checkpoint, blobs []blobs.Blob, began time.Time) error {
	parts := append(slices.Clone(c.Layers), deref(c.Base), deref(c.BaseConfig), deref(c.Process))
	for _, b := range blobs {
		parts = append(parts, b.Desc)
	}
	for _, desc := range parts {
		if desc.Digest == "" {
			continue
		}
		info, err := s.Files.Content.Info(ctx, desc.Digest)
		if err != nil {
			return fmt.Errorf("look up %s: %w", desc.Digest, err)
		}
		made.Size += info.Size
		if !info.CreatedAt.Before(began) {
			made.New += info.Size
		}
	}
	return nil
}
