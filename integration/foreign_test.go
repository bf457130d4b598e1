package integration_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestCommitOnForeignImages commits on images that other tools make and that
// docker import does not.
func TestCommitOnForeignImages(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	t.Run("of Docker's schema 2", func(t *testing.T) { onSchema2(t, e) })
	t.Run("for a platform with variant, version and features", func(t *testing.T) { onPlatform(t, e) })
	t.Run("that are an index with absent platforms and attestations", func(t *testing.T) { onIndex(t, e) })
	t.Run("FROM scratch", func(t *testing.T) { onScratch(t, e) })
}

func onSchema2(t *testing.T, e *env) {
	manifest := e.foreign(t, images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config,
		images.MediaTypeDockerSchema2LayerGzip, ocispec.Platform{OS: "linux", Architecture: "amd64"})
	e.tag(t, "schema2", manifest)
	base := e.image(t, manifest.Digest.String())

	id := e.docker(t, "create", "schema2", "/x")
	defer e.remove(t, id)
	e.copyIn(t, id)
	img := e.image(t, e.docker(t, "commit", id))
	if len(img.manifest.Layers) != len(base.manifest.Layers)+1 {
		t.Fatalf("the image has layers %v", img.manifest.Layers)
	}
	for i, l := range img.manifest.Layers {
		if l.MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("layer %d is of type %s in a manifest of type %s", i, l.MediaType, img.manifest.MediaType)
		}
		if i < len(base.manifest.Layers) && (l.Digest != base.manifest.Layers[i].Digest || l.Size != base.manifest.Layers[i].Size) {
			t.Errorf("layer %d became %v", i, l)
		}
	}
	info, err := e.client.ContentStore().Info(e.ctx(t), img.manifest.Layers[0].Digest)
	if err != nil || info.Labels["containerd.io/distribution.source.example.com"] != "team/app" {
		t.Errorf("the base's layer lost its source: %v, %v", info.Labels, err)
	}
}

func onPlatform(t *testing.T, e *env) {
	platform := ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6", OSVersion: "4.19", OSFeatures: []string{"neon"}}
	manifest := e.foreign(t, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, platform)
	e.tag(t, "platform", manifest)
	// No --platform: the command of Moby 29 cannot ask for features of a platform, and
	// its daemon finds no image that has some which were not asked for. So the command
	// warns of the platform, beside the id.
	id := "of-a-platform"
	e.docker(t, "create", "--name", id, "platform", "/x")
	defer e.remove(t, id)
	e.copyIn(t, id)
	img := e.image(t, e.docker(t, "commit", id))
	if got := img.config.Platform; fmt.Sprint(got) != fmt.Sprint(platform) {
		t.Errorf("the image is for %+v, its base for %+v", got, platform)
	}
}

func onIndex(t *testing.T, e *env) {
	own := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	manifest := e.foreign(t, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, own)
	manifest.Platform = &own
	absent := func(text string, p ocispec.Platform) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Size: 500, Platform: &p}
	}
	attestation := absent("attestation", ocispec.Platform{OS: "unknown", Architecture: "unknown"})
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest.Digest.String()}
	index := e.put(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{absent("riscv", ocispec.Platform{OS: "linux", Architecture: "riscv64"}), manifest, attestation},
	}, manifest)
	e.tag(t, "index", index)

	id := e.docker(t, "create", "index", "/x")
	defer e.remove(t, id)
	e.copyIn(t, id)
	img := e.image(t, e.docker(t, "commit", id))
	if len(img.manifest.Layers) != 2 || img.config.Architecture != "amd64" {
		t.Errorf("the image is %+v", img.manifest)
	}
	if got := img.labels["org.mobyproject.image.parent"]; got != index.Digest.String() {
		t.Errorf("the parent is %s, want the index %s", got, index.Digest)
	}
}

func onScratch(t *testing.T, e *env) {
	out, err := e.build(t, "FROM scratch\nLABEL a=b\nCOPY file /file\n", "-t", "fromscratch")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := e.docker(t, "create", "fromscratch", "/x")
	defer e.remove(t, id)
	e.copyIn(t, id)
	img := e.image(t, e.docker(t, "commit", id))
	if len(img.manifest.Layers) != 2 || len(img.config.History) != 3 {
		t.Errorf("the image is %+v, its history %+v", img.manifest, img.config.History)
	}
}

// copyIn changes a container that cannot run.
func (e *env) copyIn(t *testing.T, id string) {
	t.Helper()
	cmd := e.Docker(t.Context(), "cp", "-", id+":/")
	cmd.Stdin = bytes.NewReader(tarOf(t, "copied", "in\n"))
	if out, err := output(cmd); err != nil {
		t.Fatalf("docker cp: %v\n%s", err, out)
	}
}

func tarOf(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1e9, 0)}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// foreign stores an image of one layer and returns its manifest's descriptor.
func (e *env) foreign(t *testing.T, manifestType, configType, layerType string, p ocispec.Platform) ocispec.Descriptor {
	t.Helper()
	stream := tarOf(t, "base", fmt.Sprint("for ", p))
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(stream); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	layer := e.putBytes(t, layerType, b.Bytes(), map[string]string{"containerd.io/distribution.source.example.com": "team/app"})
	config := e.put(t, configType, ocispec.Image{
		Platform: p,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(stream)}},
		History:  []ocispec.History{{CreatedBy: "another tool"}},
	})
	return e.put(t, manifestType, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifestType, Config: config, Layers: []ocispec.Descriptor{layer},
	}, config, layer)
}

// put stores a value as JSON, holding children.
func (e *env) put(t *testing.T, mediaType string, v any, children ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for i, c := range children {
		labels[fmt.Sprint("containerd.io/gc.ref.content.", i)] = c.Digest.String()
	}
	return e.putBytes(t, mediaType, text, labels)
}

func (e *env) putBytes(t *testing.T, mediaType string, text []byte, labels map[string]string) ocispec.Descriptor {
	t.Helper()
	// Until the image is tagged nothing holds the parts.
	labels["containerd.io/gc.root"] = "test"
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	err := content.WriteBlob(e.ctx(t), e.client.ContentStore(), desc.Digest.String(), bytes.NewReader(text), desc, content.WithLabels(labels))
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func (e *env) tag(t *testing.T, name string, target ocispec.Descriptor) {
	t.Helper()
	_, err := e.client.ImageService().Create(e.ctx(t), images.Image{Name: "docker.io/library/" + name + ":latest", Target: target})
	if err != nil {
		t.Fatal(err)
	}
	if out := e.docker(t, "images", "--format", "{{.Repository}}"); !slices.Contains(strings.Fields(out), name) {
		t.Fatalf("docker does not list the image %s: %s", name, out)
	}
}
