package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
)

// parts are a checkpoint of a container FROM scratch that changed nothing, as
// values that a test can spoil.
type parts struct {
	container any
	config    any
	manifest  map[string]any
	index     map[string]any
}

func wholeParts() *parts {
	return &parts{
		container: map[string]any{"id": "1", "config": map[string]any{}, "hostConfig": map[string]any{}, "networks": map[string]any{}},
		config:    ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}},
		manifest:  map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "artifactType": checkpoint.ArtifactType},
		index:     map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "artifactType": checkpoint.ArtifactType},
	}
}

// store writes the parts, and returns where they are and what an image record would
// have as its target. Parts that are raw are taken as they are.
func (p *parts) store(t *testing.T) (content.Store, ocispec.Descriptor) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(mediaType string, v any) ocispec.Descriptor {
		text, ok := v.([]byte)
		if !ok {
			if text, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
		err := content.WriteBlob(t.Context(), store, desc.Digest.String(), bytes.NewReader(text), desc)
		if err != nil && !errdefs.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		return desc
	}
	if p.manifest["config"] == nil {
		p.manifest["config"] = put(ocispec.MediaTypeImageConfig, p.config)
	}
	layers, _ := p.manifest["layers"].([]any)
	p.manifest["layers"] = append([]any{put(checkpoint.MediaTypeContainer, p.container)}, layers...)
	manifests, _ := p.index["manifests"].([]any)
	p.index["manifests"] = append([]any{put(ocispec.MediaTypeImageManifest, p.manifest)}, manifests...)
	return store, put(ocispec.MediaTypeImageIndex, p.index)
}

func (p *parts) read(t *testing.T) error {
	t.Helper()
	store, target := p.store(t)
	c, err := checkpoint.Read(t.Context(), store, target)
	if err == nil {
		_, err = c.ReadContainer(t.Context(), store)
	}
	return err
}

// TestCheckpointLimits: what a checkpoint's parts say is bounded before it is
// decoded, and digests that are none are refused by name.
func TestCheckpointLimits(t *testing.T) {
	if err := wholeParts().read(t); err != nil {
		t.Fatalf("the parts before they are spoilt: %v", err)
	}
	bad := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: "sha256:../../x", Size: 1}
	none := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("none"), Size: 1}
	many := make([]any, 1000)
	for i := range many {
		many[i] = none
	}
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	for name, test := range map[string]struct {
		spoil func(*parts)
		want  string
	}{
		"a long container":   {func(p *parts) { p.container = map[string]string{"id": strings.Repeat("x", 5<<20)} }, "more than 4194304 bytes"},
		"a deep container":   {func(p *parts) { p.container = []byte(`{"config":` + deep + `}`) }, "more than 32 levels"},
		"many volumes":       {func(p *parts) { p.container = map[string]any{"volumes": make([]string, 60_000)} }, "more than 50000 values"},
		"an image id":        {func(p *parts) { p.container = map[string]any{"imageID": "x,name==y"} }, "no digest"},
		"a manifest":         {func(p *parts) { p.container = map[string]any{"manifest": bad} }, "no digest"},
		"a long config":      {func(p *parts) { p.config = map[string]string{"author": strings.Repeat("x", 9<<20)} }, "more than 8388608 bytes"},
		"a long history":     {func(p *parts) { p.config = map[string]any{"history": make([]struct{}, 300_000)} }, "more than 200000 values"},
		"a diffID":           {func(p *parts) { p.config = map[string]any{"rootfs": map[string]any{"diff_ids": []string{"x"}}} }, "no digest"},
		"a layer":            {func(p *parts) { p.manifest["layers"] = []any{bad} }, "no digest"},
		"many layers":        {func(p *parts) { p.manifest["layers"] = many }, "1002 parts, and 520 are the limit"},
		"a config of less":   {func(p *parts) { p.manifest["config"] = ocispec.Descriptor{Digest: digest.FromString("a"), Size: -1} }, "-1 bytes"},
		"many annotations":   {func(p *parts) { p.manifest["annotations"] = manyStrings(201_000) }, "more than 200000 values"},
		"an index of much":   {func(p *parts) { p.index["x"] = make([]int, 300_000) }, "more than 200000 values"},
		"an index of nobody": {func(p *parts) { p.index["manifests"] = nil; p.index["artifactType"] = "x" }, "not a checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			p := wholeParts()
			test.spoil(p)
			if err := p.read(t); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %.300v, want an error with %q", err, test.want)
			}
		})
	}
}

func manyStrings(n int) map[string]string {
	all := make(map[string]string, n)
	for i := range n {
		all[fmt.Sprint(i)] = ""
	}
	return all
}

// TestCheckpointLayersOfItsImage: the layers below the container's own must be those
// of the image that it is created of, or its files would stand on others.
func TestCheckpointLayersOfItsImage(t *testing.T) {
	layer := func(of string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(of), Size: int64(len(of))}
	}
	p := wholeParts()
	store, _ := p.store(t)
	base, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: layer("config"), Layers: []ocispec.Descriptor{layer("other")},
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"rootfs": map[string]any{"diff_ids": []digest.Digest{digest.FromString("a")}}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(mediaType string, text []byte) ocispec.Descriptor {
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
		if err := content.WriteBlob(context.Background(), store, desc.Digest.String(), bytes.NewReader(text), desc); err != nil {
			t.Fatal(err)
		}
		return desc
	}
	baseDesc := write(ocispec.MediaTypeImageManifest, base)
	c := checkpoint.Checkpoint{Layers: []ocispec.Descriptor{layer("mine")}, Base: &baseDesc}
	configDesc := write(ocispec.MediaTypeImageConfig, config)
	c.Config = &configDesc
	manifest, index, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(manifest.Desc.MediaType, manifest.Text)
	_, err = checkpoint.Read(t.Context(), store, write(index.Desc.MediaType, index.Text))
	if err == nil || !strings.Contains(err.Error(), "not those of the container's image") {
		t.Errorf("got %v", err)
	}
}
