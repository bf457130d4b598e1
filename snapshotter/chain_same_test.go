package snapshotter_test

import (
	"archive/tar"
	"bytes"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	stock "github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

func dirEntry(name string, mode int64, owner int) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: owner, Gid: owner}
}

// fileEntry is a file that holds its own name.
func fileEntry(name string, mode int64, owner int) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Uid: owner, Gid: owner, Size: int64(len(name))}
}

func linkEntry(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to, Mode: 0o644}
}

func gone(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }

// entangled are chains of layers that depend on those below them.
var entangled = map[string][][]tar.Header{
	"links": {
		{dirEntry("d/", 0o751, 7), fileEntry("d/y", 0o4755, 9), linkEntry("d/z", "d/y")},
		{linkEntry("e/l", "d/y"), linkEntry("e/m", "d/z"), linkEntry("e/n", "e/l")},
		{fileEntry("d/y", 0o644, 0), linkEntry("q", "e/l")},
	},
	"roots": {
		{dirEntry("./", 0o700, 5), fileEntry("a", 0o644, 0)}, {dirEntry("./", 0o711, 6), fileEntry("b", 0o644, 0)}, {fileEntry("c", 0o644, 0)},
	},
	"implied directories": {
		{dirEntry("d/", 0o1770, 11), dirEntry("d/e/", 0o2750, 12)},
		{fileEntry("d/e/f/g", 0o644, 0)},
		{gone("d/e/.wh.f"), fileEntry("d/e/f/h", 0o644, 0)},
		{gone("d/.wh..wh..opq"), fileEntry("d/e/k", 0o644, 0)},
	},
	"files and directories": {
		{dirEntry("d/", 0o755, 0), fileEntry("d/a", 0o644, 0), fileEntry("f", 0o644, 0)},
		{fileEntry("d", 0o644, 0), dirEntry("f/", 0o755, 0), fileEntry("f/b", 0o644, 0)},
		{dirEntry("d/", 0o700, 0), gone(".wh.f"), fileEntry("f/c", 0o644, 0)},
	},
	"opaque roots": {
		{fileEntry("a", 0o644, 0), dirEntry("d/", 0o755, 0), fileEntry("d/x", 0o644, 0)},
		{gone(".wh..wh..opq"), fileEntry("d/y", 0o644, 0)}, {gone(".wh..wh..opq")}, {fileEntry("d/z", 0o644, 0)},
	},
	"equal layers": {
		{fileEntry("a", 0o644, 0)}, {fileEntry("a", 0o644, 0)}, {gone(".wh.a")}, {gone(".wh.a")},
	},
	"deletions in the lowest": {
		{dirEntry("d/", 0o755, 0), gone("d/.wh.x"), fileEntry("d/y", 0o644, 0), gone(".wh.z")}, {fileEntry("g", 0o644, 0)},
	},
}

// pack makes layers of entries.
func pack(t *testing.T, layers [][]tar.Header) *blobs {
	t.Helper()
	b := &blobs{bytes: map[digest.Digest][]byte{}}
	for _, entries := range layers {
		var blob bytes.Buffer
		lw, err := tarlayer.NewWriter(&blob, compress.Method{})
		check(t, err)
		tw := tar.NewWriter(lw)
		for _, hdr := range entries {
			check(t, tw.WriteHeader(&hdr))
			if hdr.Size > 0 {
				_, err := io.WriteString(tw, hdr.Name)
				check(t, err)
			}
		}
		check(t, tw.Close(), lw.Close())
		b.layers = append(b.layers, lw.Layer())
		b.bytes[lw.Layer().Blob.Digest] = blob.Bytes()
	}
	return b
}

// TestApplyLayersAtOnceAsInTurn: each snapshot of a chain shows the same files,
// and takes as much, however many layers are extracted at once.
func TestApplyLayersAtOnceAsInTurn(t *testing.T) {
	for name, layers := range entangled {
		for kind, open := range map[string]func(root string) (snapshots.Snapshotter, error){
			"stock": func(root string) (snapshots.Snapshotter, error) { return stock.NewSnapshotter(root) },
			"ours":  func(root string) (snapshots.Snapshotter, error) { return overlay.New(root) },
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				b := pack(t, layers)
				inTurn, atOnce := applied(t, open, b, 1), applied(t, open, b, len(layers)+1)
				for n := range layers {
					sameSnapshot(t, inTurn, atOnce, b.chainID(n+1).String())
				}
			})
		}
	}
}

func applied(t *testing.T, open func(root string) (snapshots.Snapshotter, error), b *blobs, atOnce int) snapshots.Snapshotter {
	t.Helper()
	sn, err := open(filepath.Join(t.TempDir(), "sn"))
	check(t, err)
	t.Cleanup(func() { check(t, sn.Close()) })
	_, err = snapshotter.ApplyLayers(t.Context(), sn, b.layers, b.fetch, snapshotter.ChainOptions{AtOnce: atOnce})
	check(t, err)
	return sn
}

func sameSnapshot(t *testing.T, a, b snapshots.Snapshotter, name string) {
	t.Helper()
	usageA, err := a.Usage(t.Context(), name)
	check(t, err)
	usageB, err := b.Usage(t.Context(), name)
	check(t, err)
	if usageA != usageB {
		t.Errorf("snapshot %s takes %+v, and at once %+v", name, usageA, usageB)
	}
	mountsA, err := a.View(t.Context(), name+"-view", name)
	check(t, err)
	mountsB, err := b.View(t.Context(), name+"-view", name)
	check(t, err)
	// What nobody tells the time of has that of the unpacking.
	options := compare.Options{Accept: func(d compare.Difference) bool { return d.Aspect == compare.ModTime && recent(d.A) && recent(d.B) }}
	check(t, mount.WithReadonlyTempMount(t.Context(), mountsA, func(rootA string) error {
		return mount.WithReadonlyTempMount(t.Context(), mountsB, func(rootB string) error {
			return compare.Trees(t.Context(), rootA, rootB, options)
		})
	}))
}

func recent(text string) bool {
	at, err := time.Parse(time.RFC3339Nano, text)
	return err == nil && time.Since(at) < time.Hour
}
