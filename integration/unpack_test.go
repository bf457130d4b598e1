package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/fault"
)

// TestCreateUnpacks creates containers of images that are stored and not
// unpacked.
func TestCreateUnpacks(t *testing.T) {
	e, p := newFaultEnv(t)
	id := e.stored(t, "packed", digest.FromBytes(tarOf(t, "file", "text\n")))
	img := e.image(t, id)
	chainID := identity.ChainID(img.config.RootFS.DiffIDs).String()
	before := e.state(t)

	t.Run("or fails cleanly", func(t *testing.T) {
		eachCall(t, p, func() (string, error) { return e.try(t, "create", "--name", "made", "packed", "/x") }, func(failed, out string, err error) {
			if err == nil {
				e.remove(t, "made")
			} else if !strings.Contains(out, "was made to fail") {
				t.Errorf("%s failed, and the message is %q", failed, out)
			}
			e.forget(t, img.manifest.Config.Digest, chainID)
			e.settledBut(t, failed, before)
		})
	})
	t.Run("and the image keeps what was unpacked", func(t *testing.T) {
		if got := e.docker(t, "export", "made"); !strings.Contains(got, "text\n") {
			t.Error("the container lacks the image's file")
		}
		e.remove(t, "made")
		e.collect(t)
		if !slices.Contains(e.state(t).snapshots, chainID) {
			t.Errorf("snapshot %s of the image is gone", chainID)
		}
	})
	t.Run("and refuses a layer that is not what the config says", func(t *testing.T) {
		e.stored(t, "lies", digest.FromString("something else"))
		before := e.state(t)
		out, err := e.try(t, "create", "lies", "/x")
		if err == nil || !strings.Contains(out, "its diffID says "+digest.FromString("something else").String()) {
			t.Errorf("%v: %s", err, out)
		}
		e.settled(t, before)
	})
}

// stored makes an image of one layer, with a file named file in it, and returns
// its id. It is not unpacked.
func (e *env) stored(t *testing.T, name string, diffID digest.Digest) string {
	t.Helper()
	return e.storedLayer(t, name, ocispec.MediaTypeImageLayer, tarOf(t, "file", "text\n"), diffID)
}

// storedLayer is stored for any layer.
func (e *env) storedLayer(t *testing.T, name, mediaType string, stream []byte, diffID digest.Digest) string {
	t.Helper()
	layer := e.putBytes(t, mediaType, stream, map[string]string{})
	config := e.put(t, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	})
	manifest := e.put(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	}, config, layer)
	e.tag(t, name, manifest)
	return manifest.Digest.String()
}

// forget has an image lose its snapshot.
func (e *env) forget(t *testing.T, config digest.Digest, chainID string) {
	t.Helper()
	label := "containerd.io/gc.ref.snapshot." + snapshotter
	info := content.Info{Digest: config, Labels: map[string]string{label: ""}}
	if _, err := e.client.ContentStore().Update(e.ctx(t), info, "labels."+label); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, "snapshot "+chainID+" to be collected", func() error {
		e.collect(t)
		if slices.Contains(e.state(t).snapshots, chainID) {
			return errors.New("it is there")
		}
		return nil
	})
}

// collect has containerd collect its garbage.
func (e *env) collect(t *testing.T) {
	t.Helper()
	ls := e.client.LeasesService()
	l, err := ls.Create(e.ctx(t), leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	if err := ls.Delete(e.ctx(t), l, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
}

// TestLoadAndImportUnpack loads and imports images: they are unpacked by our
// applier, not by containerd's, and the images keep the snapshots.
func TestLoadAndImportUnpack(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	saved, tree := filepath.Join(t.TempDir(), "saved.tar"), filepath.Join(t.TempDir(), "tree.tar")
	if out, err := e.build(t, "FROM busybox\nRUN echo one > /one\nRUN rm /one; echo two > /two\n", "-t", "built"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e.docker(t, "save", "-o", saved, "built")
	e.docker(t, "rmi", "built")
	e.docker(t, "image", "prune", "-f")
	if err := os.WriteFile(tree, tarOf(t, "file", "text\n"), 0o600); err != nil {
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
		out := e.docker(t, test.args...)
		if calls, _ := p.Clear(); calls > 0 || strings.Contains(out, "rror") {
			t.Errorf("docker %s had containerd unpack %d layers, and says %s", test.args[0], calls, out)
		}
		e.collect(t)
		img := e.image(t, e.inspect(t, test.image, "{{.Id}}"))
		if chainID := identity.ChainID(img.config.RootFS.DiffIDs).String(); !slices.Contains(e.state(t).snapshots, chainID) {
			t.Errorf("after docker %s snapshot %s of the image is missing", test.args[0], chainID)
		}
		id := e.docker(t, "create", test.image, "/x")
		if got := e.docker(t, "cp", id+":"+test.path, "-"); !strings.Contains(got, test.text) {
			t.Errorf("%s of the image is %q", test.path, got)
		}
		e.remove(t, id)
	}
}
