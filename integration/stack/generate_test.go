package stack_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/integration/stack"
)

func TestArchiveIsDeterministicAndNamesItsLayer(t *testing.T) {
	t.Parallel()
	image := stack.GeneratedImage{Name: "whole", Files: 300, Bytes: 1_000_000, Seed: 1}
	var first, second bytes.Buffer
	if err := errors.Join(image.WriteArchive(t.Context(), &first), image.WriteArchive(t.Context(), &second)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same description gave two archives")
	}
	archive := tar.NewReader(&first)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			t.Fatal("no layer in it")
		}
		if err != nil {
			t.Fatal(err)
		}
		name, isLayer := strings.CutSuffix(header.Name, "/layer.tar")
		if !isLayer {
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, archive); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != name {
			t.Errorf("layer %s has digest %s", name, got)
		}
		return
	}
}

func TestGeneratedImageLoadsOnEveryStore(t *testing.T) {
	t.Parallel()
	image := stack.GeneratedImage{Name: "store:tagged", Base: "busybox", Files: 250, Bytes: 100_000, Seed: 3}
	layers := map[string]bool{}
	for _, driver := range []string{"", "overlay2"} {
		s := stack.ForTest(t, stack.Config{Flavor: stack.Stock, StorageDriver: driver})
		if err := s.GenerateImage(t.Context(), image); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a base without its tag: %v", err)
		}
		image := image
		image.Base = "busybox:latest"
		if err := s.GenerateImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		layers[docker(t, s, "image", "inspect", "-f", "{{.RootFS.Layers}}", image.Name)] = true
		if got := docker(t, s, "run", "--rm", image.Name, "sh", "-c", "find /data -type f | wc -l; cat $(find /data -type f) | wc -c"); got != "250\n100000" {
			t.Errorf("on %q: got %q", driver, got)
		}
	}
	if len(layers) != 1 {
		t.Errorf("the stores have different layers: %v", layers)
	}
}
