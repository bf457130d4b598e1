package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/bounded"
)

// annotationMediaType, on the part that is the manifest of the container's
// image, is the media type that it has by itself.
const annotationMediaType = "io.baleen.checkpoint.mediatype"

// gcRefContent begins the labels by which a blob keeps others.
const gcRefContent = "containerd.io/gc.ref.content."

// Blob is a small one that is still to be written, with the labels that keep
// what it refers to from being collected.
type Blob struct {
	Desc   ocispec.Descriptor
	Text   []byte
	Labels map[string]string
}

// Encode returns the manifest and the index of a checkpoint whose parts are
// stored. The index is what an image record is to have as its target.
func (c *Checkpoint) Encode() (manifest, index Blob, err error) {
	parts := slices.Clone(c.Layers)
	if c.Base != nil {
		base := *c.Base
		base.MediaType, base.Annotations = MediaTypeBaseManifest, map[string]string{annotationMediaType: c.Base.MediaType}
		parts = append(parts, base)
	}
	slots := c.slots()
	for _, mediaType := range slices.Sorted(maps.Keys(slots)) {
		if part := *slots[mediaType]; part != nil {
			desc := *part
			if desc.MediaType != MediaTypeProcess {
				desc.MediaType = mediaType
			}
			parts = append(parts, desc)
		}
	}
	manifest, err = encodeBlob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       *c.Config,
		Layers:       parts,
		Annotations:  c.annotations(),
	}, bounded.Image)
	if err != nil {
		return Blob{}, Blob{}, err
	}
	manifest.Labels = References(append([]ocispec.Descriptor{*c.Config}, parts...))

	entry := manifest.Desc
	entry.Platform, entry.ArtifactType = &c.Platform, ArtifactType
	index, err = encodeBlob(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageIndex,
		ArtifactType: ArtifactType,
		Manifests:    []ocispec.Descriptor{entry},
		Annotations:  c.annotations(),
	}, bounded.Image)
	index.Labels = References([]ocispec.Descriptor{entry})
	return manifest, index, err
}

func (c *Checkpoint) annotations() map[string]string {
	all := map[string]string{
		AnnotationImage:           c.Image,
		AnnotationRuntime:         c.Runtime,
		AnnotationSnapshotter:     c.Snapshotter,
		AnnotationContainer:       c.Name,
		AnnotationKind:            c.Kind(),
		AnnotationCRIU:            c.CRIU,
		AnnotationIDs:             c.IDs,
		ocispec.AnnotationCreated: c.Created.UTC().Format(time.RFC3339),
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// EncodePart returns a part of a checkpoint as a blob.
func EncodePart(mediaType string, part any) (Blob, error) {
	return encodeBlob(mediaType, part, bounded.Part)
}

// encodeBlob refuses what could not be read again.
func encodeBlob(mediaType string, v any, limits bounded.Limits) (Blob, error) {
	text, err := json.Marshal(v)
	if err == nil {
		err = limits.Check(text)
	}
	if err != nil {
		return Blob{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return Blob{Text: text, Desc: ocispec.Descriptor{
		MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text)),
	}}, nil
}

func References(to []ocispec.Descriptor) map[string]string {
	labels := map[string]string{}
	for i, desc := range to {
		labels[gcRefContent+strconv.Itoa(i)] = desc.Digest.String()
	}
	return labels
}
