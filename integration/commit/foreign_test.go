package commit_test

import (
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCommitOnForeignImages commits on images that other tools make and that
// docker import does not.
func TestCommitOnForeignImages(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	t.Run("of Docker's schema 2", func(t *testing.T) { onSchema2(t, e) })
	t.Run("for a platform with variant, version and features", func(t *testing.T) { onPlatform(t, e) })
	t.Run("that are an index with absent platforms and attestations", func(t *testing.T) { onIndex(t, e) })
	t.Run("FROM scratch", func(t *testing.T) { harness.CommitOnScratch(t, e) })
}

func onSchema2(t *testing.T, e *harness.Env) {
	manifest := e.PutForeignImage(t, images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config,
		images.MediaTypeDockerSchema2LayerGzip, ocispec.Platform{OS: "linux", Architecture: "amd64"})
	e.Tag(t, "schema2", manifest)
	base := e.Image(t, manifest.Digest.String())

	id := e.Must(t, "create", "schema2", "/x")
	defer e.Remove(t, id)
	e.CopyIn(t, id)
	img := e.Image(t, e.Must(t, "commit", id))
	if len(img.Manifest.Layers) != len(base.Manifest.Layers)+1 {
		t.Fatalf("the image has layers %v", img.Manifest.Layers)
	}
	for i, l := range img.Manifest.Layers {
		if l.MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("layer %d is of type %s in a manifest of type %s", i, l.MediaType, img.Manifest.MediaType)
		}
		if i < len(base.Manifest.Layers) && (l.Digest != base.Manifest.Layers[i].Digest || l.Size != base.Manifest.Layers[i].Size) {
			t.Errorf("layer %d became %v", i, l)
		}
	}
	info, err := e.Client.ContentStore().Info(e.Context(t), img.Manifest.Layers[0].Digest)
	if err != nil || info.Labels["containerd.io/distribution.source.example.com"] != "team/app" {
		t.Errorf("the base's layer lost its source: %v, %v", info.Labels, err)
	}
}

func onPlatform(t *testing.T, e *harness.Env) {
	platform := ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6", OSVersion: "4.19", OSFeatures: []string{"neon"}}
	manifest := e.PutForeignImage(t, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, platform)
	e.Tag(t, "platform", manifest)
	// No --platform: the command of Moby 29 cannot ask for features of a platform, and
	// its daemon finds no image that has some which were not asked for. So the command
	// warns of the platform, beside the id.
	id := "of-a-platform"
	e.Must(t, "create", "--name", id, "platform", "/x")
	defer e.Remove(t, id)
	e.CopyIn(t, id)
	img := e.Image(t, e.Must(t, "commit", id))
	if got := img.Config.Platform; fmt.Sprint(got) != fmt.Sprint(platform) {
		t.Errorf("the image is for %+v, its base for %+v", got, platform)
	}
}

func onIndex(t *testing.T, e *harness.Env) {
	own := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	manifest := e.PutForeignImage(t, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, own)
	manifest.Platform = &own
	absent := func(text string, p ocispec.Platform) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Size: 500, Platform: &p}
	}
	attestation := absent("attestation", ocispec.Platform{OS: "unknown", Architecture: "unknown"})
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest.Digest.String()}
	index := e.PutJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{absent("riscv", ocispec.Platform{OS: "linux", Architecture: "riscv64"}), manifest, attestation},
	}, manifest)
	e.Tag(t, "index", index)

	id := e.Must(t, "create", "index", "/x")
	defer e.Remove(t, id)
	e.CopyIn(t, id)
	img := e.Image(t, e.Must(t, "commit", id))
	if len(img.Manifest.Layers) != 2 || img.Config.Architecture != "amd64" {
		t.Errorf("the image is %+v", img.Manifest)
	}
	if got := img.Labels["org.mobyproject.image.parent"]; got != index.Digest.String() {
		t.Errorf("the parent is %s, want the index %s", got, index.Digest)
	}
}
