package difftest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// Member is an entry of a layer: a header and, for regular files, content.
type Member struct {
	tar.Header
	Body string
}

// With adds an attribute to an entry.
func (m Member) With(xattr, value string) Member {
	m.PAXRecords = map[string]string{"SCHILY.xattr." + xattr: value}
	return m
}

func Reg(name, body string) Member {
	return Member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, body}
}

func Folder(name string) Member {
	return Member{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

func Symlink(name, target string) Member {
	return Member{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func Hardlink(name, target string) Member {
	return Member{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}, ""}
}

func LayerOf(t testing.TB, members ...Member) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.Body))
		if m.ModTime.IsZero() {
			m.ModTime = time.Unix(1_234_567_890, 0)
		}
		if err := tw.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, m.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func WriteLayer(t *testing.T, dir string, opts tarlayer.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	stats, err := tarlayer.Write(t.Context(), &b, dir, opts)
	Do(t, err)
	if stats.Bytes != int64(b.Len()) {
		t.Errorf("stats say %d bytes, the stream has %d", stats.Bytes, b.Len())
	}
	if got := int64(len(Headers(t, b.Bytes()))); stats.Entries != got {
		t.Errorf("stats say %d entries, the stream has %d", stats.Entries, got)
	}
	return b.Bytes()
}

func Apply(t *testing.T, target string, layer []byte, opts apply.Options) {
	t.Helper()
	id, stats, err := apply.ToDir(t.Context(), bytes.NewReader(layer), target, opts)
	Do(t, err)
	if id != digest.FromBytes(layer) || stats.Bytes != int64(len(layer)) {
		t.Errorf("diffID %s of %d bytes, want %s of %d", id, stats.Bytes, digest.FromBytes(layer), len(layer))
	}
}

// CompareTrees fails the test if two trees differ.
func CompareTrees(t *testing.T, a, b string, opts compare.Options) {
	t.Helper()
	if err := compare.Trees(t.Context(), a, b, opts); err != nil {
		t.Error(err)
	}
}

func Headers(t *testing.T, layer []byte) []*tar.Header {
	t.Helper()
	var all []*tar.Header
	tr := tar.NewReader(bytes.NewReader(layer))
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		Do(t, err)
		if n, err := io.Copy(io.Discard, tr); err != nil || n != hdr.Size {
			t.Fatalf("%s: %d bytes of %d: %v", hdr.Name, n, hdr.Size, err)
		}
		all = append(all, hdr)
	}
}
