package tarlayer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// TestManyPackersTakeLittleMemory packs twenty layers at a time: none waits for the
// others, and they share the memory of the compressors.
func TestManyPackersTakeLittleMemory(t *testing.T) {
	const packers, each = 20, 16 << 20
	dir := t.TempDir()
	difftest.Do(t, os.WriteFile(filepath.Join(dir, "file"), difftest.Mixed(24<<20), 0o644))
	h := difftest.WatchHeap(1)
	var begun sync.WaitGroup
	begun.Add(packers)
	release, errs := make(chan struct{}), make(chan error, packers)
	for range packers {
		go func() {
			first := sync.OnceFunc(func() { begun.Done(); <-release })
			w := writerFunc(func(p []byte) (int, error) { first(); return len(p), nil })
			_, _, err := tarlayer.Pack(t.Context(), w, dir, tarlayer.Options{}, compress.Method{})
			errs <- err
		}()
	}
	begun.Wait() // none has waited for another one to end
	h.Look()
	close(release)
	for range packers {
		difftest.Do(t, <-errs)
	}
	h.Within(t, packers*each)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// BenchmarkPackHole packs a hole of 1 GiB.
func BenchmarkPackHole(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "hole")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(path, 1<<30); err != nil {
		b.Fatal(err)
	}
	for _, kind := range []string{compress.Gzip, compress.Zstd, compress.Uncompressed} {
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(1 << 30)
			for b.Loop() {
				if _, _, err := tarlayer.Pack(b.Context(), io.Discard, dir, tarlayer.Options{}, compress.Method{Kind: kind}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestPackTellsWhatItWrote(t *testing.T) {
	root := difftest.UpperTree(t)
	plain := difftest.WriteLayer(t, root, tarlayer.Options{})
	for _, c := range difftest.AllCompressions {
		var b bytes.Buffer
		layer, stats, err := tarlayer.Pack(t.Context(), &b, root, tarlayer.Options{}, c)
		difftest.Do(t, err)
		if layer.DiffID != digest.FromBytes(plain) || stats.Bytes != int64(len(plain)) {
			t.Errorf("%s: diffID %s, %d bytes", c, layer.DiffID, stats.Bytes)
		}
		want := ocispec.Descriptor{MediaType: c.MediaType(), Digest: digest.FromBytes(b.Bytes()), Size: int64(b.Len())}
		if got := layer.Blob; got.MediaType != want.MediaType || got.Digest != want.Digest || got.Size != want.Size {
			t.Errorf("%s: blob is %+v, want %+v", c, got, want)
		}
		if !bytes.Equal(difftest.Unpack(t, c, b.Bytes()), plain) {
			t.Errorf("%s: the blob holds something else", c)
		}
	}
}

func TestPackOfNothingIsTheEmptyLayer(t *testing.T) {
	layer, _, err := tarlayer.Pack(t.Context(), io.Discard, t.TempDir(), tarlayer.Options{}, compress.Method{})
	if err != nil || !layer.Empty() {
		t.Errorf("%+v, %v", layer, err)
	}
}

func TestPackFailsWithItsWriter(t *testing.T) {
	root := t.TempDir()
	difftest.Do(t, os.WriteFile(filepath.Join(root, "f"), difftest.Mixed(9<<20), 0o644))
	before := runtime.NumGoroutine()
	for _, c := range difftest.AllCompressions {
		layer, _, err := tarlayer.Pack(t.Context(), &difftest.LimitedWriter{N: 1000}, root, tarlayer.Options{}, c)
		if !errors.Is(err, difftest.ErrFull) || layer.DiffID != "" {
			t.Errorf("%s: %+v, %v", c, layer, err)
		}
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 100 {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
