package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/labels"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/diff"
)

// ErrNotCheckpoint says that an image is none of ours and none of containerd's
// checkpoints.
var ErrNotCheckpoint = fmt.Errorf("not a checkpoint of a container: %w", errdefs.ErrInvalidArgument)

// Read reads what an image record has as its target: a checkpoint of
// ours or of containerd's, [ErrNotCheckpoint] if it is neither. All that it
// refers to is there, or the error is errdefs.ErrNotFound and says what is not:
// [MissingParts].
//
// Of several platforms in an index, that of the host is taken if there is one,
// and the first if not.
func Read(ctx context.Context, store content.Store, target ocispec.Descriptor) (*Checkpoint, error) {
	c, err := readParts(ctx, store, target)
	if err != nil {
		return nil, err
	}
	return c, c.whole(ctx, store)
}

func readParts(ctx context.Context, store content.Store, target ocispec.Descriptor) (*Checkpoint, error) {
	if images.IsManifestType(target.MediaType) {
		return readManifest(ctx, store, target)
	}
	if !images.IsIndexType(target.MediaType) {
		return nil, fmt.Errorf("it is a %s: %w", target.MediaType, ErrNotCheckpoint)
	}
	var index ocispec.Index
	if err := bounded.Image.ReadJSON(ctx, store, target, &index); err != nil {
		return nil, Unreadable("the index", target, err)
	}
	if index.ArtifactType == ArtifactType {
		return readManifest(ctx, store, preferred(index.Manifests))
	}
	if index.Annotations[AnnotationRuntime] == "" {
		return nil, ErrNotCheckpoint
	}
	return readFlat(ctx, store, index)
}

// preferred returns the manifest for the host, else the first.
func preferred(manifests []ocispec.Descriptor) ocispec.Descriptor {
	host := platforms.Default()
	fits := func(d ocispec.Descriptor) bool { return d.Platform != nil && host.Match(*d.Platform) }
	if i := slices.IndexFunc(manifests, fits); i >= 0 {
		return manifests[i]
	}
	if len(manifests) == 0 {
		return ocispec.Descriptor{}
	}
	return manifests[0]
}

// readManifest reads a checkpoint of ours.
func readManifest(ctx context.Context, store content.Store, desc ocispec.Descriptor) (*Checkpoint, error) {
	if desc.Digest == "" {
		return nil, fmt.Errorf("its index is empty: %w", ErrNotCheckpoint)
	}
	var m ocispec.Manifest
	if err := bounded.Image.ReadJSON(ctx, store, desc, &m); err != nil {
		return nil, Unreadable("the manifest", desc, err)
	}
	if !IsCheckpoint(m) {
		return nil, ErrNotCheckpoint
	}
	if err := checkParts(append(m.Layers, m.Config)); err != nil {
		return nil, err
	}
	c := fromAnnotations(m.Annotations)
	c.Config = &m.Config
	c.take(m.Layers)
	if m.Annotations[AnnotationKind] == KindProcesses && c.Process == nil {
		return nil, fmt.Errorf("it has processes in a form that is not known here: %w", errdefs.ErrNotImplemented)
	}
	var config ocispec.Image
	if err := bounded.Image.ReadJSON(ctx, store, m.Config, &config); err != nil {
		return nil, Unreadable("the config", m.Config, err)
	}
	c.Platform = config.Platform
	return c, c.takeOwn(ctx, store, config.RootFS.DiffIDs)
}

// maxParts is how many parts a checkpoint may have: as many layers as the kernel
// stacks, 500, and some more.
const maxParts = 520

// checkParts is for what each of costs a call to containerd.
func checkParts(parts []ocispec.Descriptor) error {
	if len(parts) > maxParts {
		return fmt.Errorf("it has %d parts, and %d are the limit: %w", len(parts), maxParts, errdefs.ErrInvalidArgument)
	}
	return baseimage.CheckDescriptors(parts...)
}

func fromAnnotations(a map[string]string) *Checkpoint {
	created, _ := time.Parse(time.RFC3339, a[ocispec.AnnotationCreated]) // zero if it does not say
	return &Checkpoint{
		Image: a[AnnotationImage], Runtime: a[AnnotationRuntime],
		Snapshotter: a[AnnotationSnapshotter], Name: a[AnnotationContainer],
		CRIU: a[AnnotationCRIU], IDs: a[AnnotationIDs], Created: created,
	}
}

// take sorts the parts by their media types. Others than are known are for
// later versions.
func (c *Checkpoint) take(parts []ocispec.Descriptor) {
	slots := c.slots()
	for _, part := range parts {
		slot, ok := slots[part.MediaType]
		switch {
		case ok:
			*slot = &part
		case part.MediaType == MediaTypeBaseManifest:
			part.MediaType, part.Annotations = part.Annotations[annotationMediaType], nil
			c.Base = &part
		case part.MediaType == MediaTypeProcess:
			c.Process = &part
		case images.IsLayerType(part.MediaType):
			c.Layers = append(c.Layers, part)
		}
	}
}

// takeOwn finds the container's own layers: those that its image does not have.
func (c *Checkpoint) takeOwn(ctx context.Context, store content.Store, diffIDs []digest.Digest) error {
	if err := baseimage.CheckDigests(diffIDs...); err != nil {
		return err
	}
	if len(diffIDs) != len(c.Layers) {
		return fmt.Errorf("it has %d layers, and its config %d diffIDs: %w", len(c.Layers), len(diffIDs), errdefs.ErrDataLoss)
	}
	below := 0
	if c.Base != nil {
		var image ocispec.Manifest
		if err := bounded.Image.ReadJSON(ctx, store, *c.Base, &image); err != nil {
			return Unreadable("the manifest of the container's image", *c.Base, err)
		}
		if err := baseimage.CheckDescriptors(append(image.Layers, image.Config)...); err != nil {
			return Unreadable("the manifest of the container's image", *c.Base, err)
		}
		below = len(image.Layers)
		same := func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest }
		if len(c.Layers) < below || !slices.EqualFunc(c.Layers[:below], image.Layers, same) {
			return fmt.Errorf("its layers are not those of the container's image and others on top: %w", errdefs.ErrDataLoss)
		}
	}
	for i := below; i < len(c.Layers); i++ {
		c.Own = append(c.Own, diff.Layer{Blob: c.Layers[i], DiffID: diffIDs[i]})
	}
	return nil
}

// readFlat reads a checkpoint of containerd's, whose index has all parts itself.
func readFlat(ctx context.Context, store content.Store, index ocispec.Index) (*Checkpoint, error) {
	if err := checkParts(index.Manifests); err != nil {
		return nil, err
	}
	c := fromAnnotations(index.Annotations)
	c.Platform = platforms.DefaultSpec()
	c.take(index.Manifests)
	for _, part := range index.Manifests {
		if images.IsManifestType(part.MediaType) || images.IsIndexType(part.MediaType) {
			c.Base = &part
		} else if part.Platform != nil {
			c.Platform = *part.Platform
		}
	}
	if len(c.Layers) > 1 {
		return nil, fmt.Errorf("it has %d layers of the container: %w", len(c.Layers), errdefs.ErrDataLoss)
	}
	if len(c.Layers) == 0 {
		return c, nil
	}
	own := diff.Layer{Blob: c.Layers[0]}
	info, err := store.Info(ctx, own.Blob.Digest)
	if err != nil {
		return nil, Unreadable("the container's layer", own.Blob, err)
	}
	if id, err := digest.Parse(info.Labels[labels.LabelUncompressed]); err == nil {
		own.DiffID = id
	}
	c.Own = []diff.Layer{own}
	return c, nil
}

// ReadContainer reads the configuration that the container was created with. It
// is errdefs.ErrNotFound in one of containerd's checkpoints, which has only the
// runtime spec.
func (c *Checkpoint) ReadContainer(ctx context.Context, provider content.Provider) (r Container, err error) {
	if c.Container == nil {
		return r, fmt.Errorf("the checkpoint has no configuration of the container: %w", errdefs.ErrNotFound)
	}
	if err := bounded.Part.ReadJSON(ctx, provider, *c.Container, &r); err != nil {
		return r, fmt.Errorf("read the configuration of the container: %w", err)
	}
	if r.ImageID != "" {
		err = baseimage.CheckDigests(r.ImageID)
	}
	if err == nil && r.Manifest != nil {
		err = baseimage.CheckDescriptors(*r.Manifest)
	}
	if err != nil {
		return Container{}, fmt.Errorf("read the configuration of the container: %w", err)
	}
	return r, nil
}

// MissingParts says which parts of a checkpoint are not in the content store.
type MissingParts struct{ Parts []string }

func (e *MissingParts) Error() string {
	return "the checkpoint is not whole here, pull or load it again: missing are " + strings.Join(e.Parts, ", ")
}

// Unwrap has it be errdefs.ErrNotFound.
func (e *MissingParts) Unwrap() error { return errdefs.ErrNotFound }

// Unreadable is the error for a part that cannot be read.
func Unreadable(what string, desc ocispec.Descriptor, err error) error {
	if errdefs.IsNotFound(err) {
		return &MissingParts{Parts: []string{describe(what, desc)}}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		err = errors.Join(err, errdefs.ErrDataLoss)
	}
	return fmt.Errorf("read %s %s: %w", what, desc.Digest, err)
}

func describe(what string, desc ocispec.Descriptor) string {
	return fmt.Sprintf("%s (%s, %d bytes)", what, desc.Digest, desc.Size)
}

// whole makes sure that all parts are in the store, with their sizes.
func (c *Checkpoint) whole(ctx context.Context, store content.InfoProvider) error {
	lacks := &MissingParts{}
	look := func(what string, desc *ocispec.Descriptor) error {
		if desc == nil {
			return nil
		}
		info, err := store.Info(ctx, desc.Digest)
		switch {
		case errdefs.IsNotFound(err):
			lacks.Parts = append(lacks.Parts, describe(what, *desc))
		case err != nil:
			return fmt.Errorf("look up %s: %w", what, err)
		case info.Size != desc.Size:
			return fmt.Errorf("%s has %d bytes here: %w", describe(what, *desc), info.Size, errdefs.ErrDataLoss)
		}
		return nil
	}
	var failed error
	for i := range c.Layers {
		what := "a layer of the container's image"
		if i >= len(c.Layers)-len(c.Own) {
			what = "the container's layer"
		}
		failed = errors.Join(failed, look(what, &c.Layers[i]))
	}
	failed = errors.Join(failed, look("the container's image", c.Base), look("the config of the container's image", c.BaseConfig),
		look("the container's configuration", c.Container), look("the runtime spec", c.Spec),
		look("the runtime's options", c.RuntimeOptions), look("the state of the processes", c.Process),
		look("the options of the processes' state", c.ProcessOptions))
	if failed == nil && len(lacks.Parts) > 0 {
		return lacks
	}
	return failed
}
