package baseimage_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

func TestArchiveIsDeterministicAndNamesItsLayer(t *testing.T) {
	t.Parallel()
	image := baseimage.Generated{Name: "whole", Files: 300, Bytes: 1_000_000, Seed: 1}
	var first, second bytes.Buffer
	if err := errors.Join(image.WriteArchive(t.Context(), "", &first), image.WriteArchive(t.Context(), "", &second)); err != nil {
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
