package images_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestSaveAndLoad carries images between the fork and stock in archives: what was
// committed here with every packing is loaded by stock on either of its stores,
// and what stock makes of it is loaded here.
func TestSaveAndLoad(t *testing.T) {
	dir := t.TempDir()
	fork := harness.StartWithTree(t)
	images := commitPacked(t, fork, "tree", "saved")
	images = append(images, commitMixed(t, fork, images[1], "saved"))
	archive := filepath.Join(dir, "fork.tar")
	save := []string{"save", "-o", archive}
	for _, img := range images {
		save = append(save, img.name)
	}
	fork.Must(t, save...)
	t.Run("every blob of the archive is what its name says", func(t *testing.T) { wholeArchive(t, archive) })

	for _, store := range []struct{ name, driver string }{
		{"containerd", ""},
		{"overlay2", "overlay2"},
	} {
		stock := harness.Start(t, stack.Config{Flavor: stack.Stock, StorageDriver: store.driver})
		t.Run("stock on "+store.name+" loads and runs them", func(t *testing.T) {
			load(t, stock, archive, images...)
			for _, img := range images {
				sees(t, stock, img.name, img.tree)
				if got := stock.Inspect(t, img.name, "{{.Id}}"); store.driver == "" && got != img.id.String() {
					t.Errorf("the image %s became %s", img.id, got)
				}
			}
		})
		t.Run("the fork commits on what stock on "+store.name+" has saved", func(t *testing.T) {
			commitsOnSaved(t, harness.Start(t, stack.Config{}), stock, images[1].name, filepath.Join(dir, store.name))
		})
	}
}

// load loads an archive, which must hold these images.
func load(t *testing.T, e *harness.Env, archive string, images ...packed) {
	t.Helper()
	out := e.Must(t, "load", "-i", archive)
	for _, img := range images {
		if !strings.Contains(out, "Loaded image: "+img.name) {
			t.Errorf("docker load of %s printed\n%s", archive, out)
		}
	}
}

// commitsOnSaved has stock commit on an image, the fork on that, and stock run
// the result.
func commitsOnSaved(t *testing.T, fork, stock *harness.Env, image, archive string) {
	byStock := "by-stock:" + filepath.Base(archive)
	id := stock.Run(t, image, "rm -r /tree/random /tree/kept; mkdir /tree/kept; echo stock > /tree/stock")
	stock.Must(t, "commit", id, byStock)
	tree := stock.Must(t, "exec", id, "/fstool", "list", "/tree")
	stock.Must(t, "save", "-o", archive+"-stock.tar", byStock)

	fork.Must(t, "load", "-i", archive+"-stock.tar")
	sees(t, fork, byStock, tree)
	base := fork.Image(t, fork.Inspect(t, byStock, "{{.Id}}"))
	id = fork.Run(t, byStock, "rm /tree/stock; echo fork > /tree/kept/fork")
	tree = fork.Must(t, "exec", id, "/fstool", "list", "/tree")
	byFork := "by-fork:" + filepath.Base(archive)
	img := fork.Image(t, fork.Must(t, "commit", id, byFork))
	if len(img.Manifest.Layers) != len(base.Manifest.Layers)+1 {
		t.Errorf("on layers %v the fork committed %v", base.Manifest.Layers, img.Manifest.Layers)
	}
	for i, l := range img.Manifest.Layers {
		if !strings.HasPrefix(l.MediaType, "application/vnd.oci.image.layer.v1.tar") {
			t.Errorf("layer %d is of type %s", i, l.MediaType)
		}
	}
	fork.Must(t, "save", "-o", archive+"-fork.tar", byFork)
	stock.Must(t, "load", "-i", archive+"-fork.tar")
	sees(t, stock, byFork, tree)
}

// wholeArchive hashes the blobs of an image archive.
func wholeArchive(t *testing.T, path string) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := 0
	for archive := tar.NewReader(file); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		want, isBlob := strings.CutPrefix(entry.Name, "blobs/sha256/")
		if !isBlob || entry.Typeflag != tar.TypeReg {
			continue
		}
		got, err := digest.FromReader(archive)
		if err != nil {
			t.Fatal(err)
		}
		if found++; got.Encoded() != want {
			t.Errorf("blob %s has digest %s", want, got)
		}
	}
	// Four manifests and configs; two layers of the base, four of the images.
	if found != 14 {
		t.Errorf("the archive has %d blobs", found)
	}
}
