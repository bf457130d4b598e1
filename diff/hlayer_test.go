package diff_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff"
)

// member is an entry of a layer: a header and, for regular files, content.
type member struct {
	tar.Header
	body string
}

// with adds an attribute to an entry.
func (m member) with(xattr, value string) member {
	m.PAXRecords = map[string]string{"SCHILY.xattr." + xattr: value}
	return m
}

func reg(name, body string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, body}
}

func folder(name string) member {
	return member{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

func symlink(name, target string) member {
	return member{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func hardlink(name, target string) member {
	return member{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}, ""}
}

func layerOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.body))
		if m.ModTime.IsZero() {
			m.ModTime = time.Unix(1_234_567_890, 0)
		}
		if err := tw.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeLayer(t *testing.T, dir string, opts diff.TarOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	stats, err := diff.WriteLayer(t.Context(), &b, dir, opts)
	do(t, err)
	if stats.Bytes != int64(b.Len()) {
		t.Errorf("stats say %d bytes, the stream has %d", stats.Bytes, b.Len())
	}
	if got := int64(len(headers(t, b.Bytes()))); stats.Entries != got {
		t.Errorf("stats say %d entries, the stream has %d", stats.Entries, got)
	}
	return b.Bytes()
}

func apply(t *testing.T, target string, layer []byte, opts diff.ApplyOptions) {
	t.Helper()
	id, stats, err := diff.Apply(t.Context(), bytes.NewReader(layer), target, opts)
	do(t, err)
	if id != digest.FromBytes(layer) || stats.Bytes != int64(len(layer)) {
		t.Errorf("diffID %s of %d bytes, want %s of %d", id, stats.Bytes, digest.FromBytes(layer), len(layer))
	}
}

// compareTrees fails the test if two trees differ.
func compareTrees(t *testing.T, a, b string, opts diff.CompareOptions) {
	t.Helper()
	if err := diff.CompareTrees(t.Context(), a, b, opts); err != nil {
		t.Error(err)
	}
}

func headers(t *testing.T, layer []byte) []*tar.Header {
	t.Helper()
	var all []*tar.Header
	tr := tar.NewReader(bytes.NewReader(layer))
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		do(t, err)
		if n, err := io.Copy(io.Discard, tr); err != nil || n != hdr.Size {
			t.Fatalf("%s: %d bytes of %d: %v", hdr.Name, n, hdr.Size, err)
		}
		all = append(all, hdr)
	}
}
