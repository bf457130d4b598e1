package images_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
)

// TestCreateUnpacks creates containers of images that are stored and not
// unpacked.
func TestCreateUnpacks(t *testing.T) {
	e, p := harness.StartFaulty(t)
	id := stored(t, e, "packed", digest.FromBytes(harness.TarOf(t, "file", "text\n")))
	img := e.Image(t, id)
	chainID := identity.ChainID(img.Config.RootFS.DiffIDs).String()
	before := e.State(t)

	t.Run("or fails cleanly", func(t *testing.T) {
		harness.EachCall(t, p, func() (string, error) { return e.Try(t, "create", "--name", "made", "packed", "/x") }, func(failed, out string, err error) {
			if err == nil {
				e.Remove(t, "made")
			} else if !strings.Contains(out, "was made to fail") {
				t.Errorf("%s failed, and the message is %q", failed, out)
			}
			forget(t, e, img.Manifest.Config.Digest, chainID)
			e.SettledBut(t, failed, before)
		})
	})
	t.Run("and the image keeps what was unpacked", func(t *testing.T) {
		if got := e.Must(t, "export", "made"); !strings.Contains(got, "text\n") {
			t.Error("the container lacks the image's file")
		}
		e.Remove(t, "made")
		e.CollectGarbage(t)
		if !slices.Contains(e.State(t).Snapshots, chainID) {
			t.Errorf("snapshot %s of the image is gone", chainID)
		}
	})
	t.Run("and refuses a layer that is not what the config says", func(t *testing.T) {
		stored(t, e, "lies", digest.FromString("something else"))
		before := e.State(t)
		out, err := e.Try(t, "create", "lies", "/x")
		if err == nil || !strings.Contains(out, "its diffID says "+digest.FromString("something else").String()) {
			t.Errorf("%v: %s", err, out)
		}
		e.Settled(t, before)
	})
}

// stored makes an image of one layer, with a file named file in it, and returns
// its id. It is not unpacked.
func stored(t *testing.T, e *harness.Env, name string, diffID digest.Digest) string {
	t.Helper()
	return storedLayer(t, e, name, ocispec.MediaTypeImageLayer, harness.TarOf(t, "file", "text\n"), diffID)
}

// storedLayer is stored for any layer.
func storedLayer(t *testing.T, e *harness.Env, name, mediaType string, stream []byte, diffID digest.Digest) string {
	t.Helper()
	layer := e.PutBlob(t, mediaType, stream, map[string]string{})
	config := e.PutJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	})
	manifest := e.PutJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	}, config, layer)
	e.Tag(t, name, manifest)
	return manifest.Digest.String()
}

// forget has an image lose its snapshot.
func forget(t *testing.T, e *harness.Env, config digest.Digest, chainID string) {
	t.Helper()
	label := "containerd.io/gc.ref.snapshot." + harness.Snapshotter
	info := content.Info{Digest: config, Labels: map[string]string{label: ""}}
	if _, err := e.Client.ContentStore().Update(e.Context(t), info, "labels."+label); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "snapshot "+chainID+" to be collected", func() error {
		e.CollectGarbage(t)
		if slices.Contains(e.State(t).Snapshots, chainID) {
			return errors.New("it is there")
		}
		return nil
	})
}

// TestLoadAndImportUnpack loads and imports images: they are unpacked by our
// applier, not by containerd's, and the images keep the snapshots.
func TestLoadAndImportUnpack(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	saved, tree := filepath.Join(t.TempDir(), "saved.tar"), filepath.Join(t.TempDir(), "tree.tar")
	if out, err := e.Build(t, "FROM busybox\nRUN echo one > /one\nRUN rm /one; echo two > /two\n", "-t", "built"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e.Must(t, "save", "-o", saved, "built")
	e.Must(t, "rmi", "built")
	e.Must(t, "image", "prune", "-f")
	if err := os.WriteFile(tree, harness.TarOf(t, "file", "text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args        []string
		image, path string
		text        string
	}{
		{[]string{"load", "-i", saved}, "built", "/two", "two\n"},
		{[]string{"import", tree, "imported"}, "imported", "/file", "text\n"},
	} {
		p.Set(fault.Plan{Methods: []string{"Diff/Apply"}})
		out := e.Must(t, test.args...)
		if calls, _ := p.Clear(); calls > 0 || strings.Contains(out, "rror") {
			t.Errorf("docker %s had containerd unpack %d layers, and says %s", test.args[0], calls, out)
		}
		e.CollectGarbage(t)
		img := e.Image(t, e.Inspect(t, test.image, "{{.Id}}"))
		if chainID := identity.ChainID(img.Config.RootFS.DiffIDs).String(); !slices.Contains(e.State(t).Snapshots, chainID) {
			t.Errorf("after docker %s snapshot %s of the image is missing", test.args[0], chainID)
		}
		id := e.Must(t, "create", test.image, "/x")
		if got := e.Must(t, "cp", id+":"+test.path, "-"); !strings.Contains(got, test.text) {
			t.Errorf("%s of the image is %q", test.path, got)
		}
		e.Remove(t, id)
	}
}
