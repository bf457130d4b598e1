package diff_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
)

func TestParseCompression(t *testing.T) {
	for text, want := range map[string]diff.Compression{
		"gzip":    {Kind: diff.Gzip},
		"gzip:1":  {Kind: diff.Gzip, Level: 1},
		"gzip:9":  {Kind: diff.Gzip, Level: 9},
		"zstd":    {Kind: diff.Zstd},
		"zstd:22": {Kind: diff.Zstd, Level: 22},
		"none":    {Kind: diff.Uncompressed},
	} {
		got, err := diff.ParseCompression(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "gz", "gzip:", "gzip:0", "gzip:10", "gzip:-1", "gzip:+1", "gzip:01", "gzip:1:2", "zstd:23", "none:1", "none:", "GZIP", " gzip", "xz"} {
		_, err := diff.ParseCompression(text)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "gzip:1 to gzip:9, zstd, zstd:1 to zstd:22, or none") {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

func TestCompressionDefaultsToGzip(t *testing.T) {
	var c diff.Compression
	if c.String() != "gzip" || c.MediaType() != ocispec.MediaTypeImageLayerGzip {
		t.Errorf("zero value is %s, %s", c, c.MediaType())
	}
	if got := (diff.Compression{Kind: diff.Zstd}).MediaType(); got != ocispec.MediaTypeImageLayerZstd {
		t.Errorf("zstd is %s", got)
	}
	if got := (diff.Compression{Kind: diff.Uncompressed}).MediaType(); got != ocispec.MediaTypeImageLayer {
		t.Errorf("none is %s", got)
	}
	if _, err := diff.NewWriter(io.Discard, diff.Compression{Kind: "xz"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("xz gave %v", err)
	}
}

// mixed has text, noise and zeros.
func mixed(size int) []byte {
	r := rand.New(rand.NewSource(7))
	b := make([]byte, 0, size)
	for len(b) < size {
		switch r.Intn(3) {
		case 0:
			b = append(b, bytes.Repeat([]byte("the quick brown fox "), 1+r.Intn(4000))...)
		case 1:
			noise := make([]byte, r.Intn(200_000))
			r.Read(noise)
			b = append(b, noise...)
		default:
			b = append(b, make([]byte, r.Intn(100_000))...)
		}
	}
	return b[:size]
}

func compress(t *testing.T, c diff.Compression, data []byte, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := diff.NewWriter(&b, c)
	do(t, err)
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(piece, len(rest))])
		do(t, err)
		rest = rest[n:]
	}
	do(t, w.Close(), w.Close())
	return b.Bytes()
}

var allCompressions = []diff.Compression{{}, {Kind: diff.Gzip, Level: 6}, {Kind: diff.Zstd}, {Kind: diff.Zstd, Level: 1}, {Kind: diff.Uncompressed}}

func TestCompressedBytesDoNotDependOnProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, size := range []int{0, 1, 1 << 20, 12<<20 + 345} {
		data := mixed(size)
		for _, c := range allCompressions {
			var want []byte
			for _, procs := range []int{1, 2, 8} {
				runtime.GOMAXPROCS(procs)
				got := compress(t, c, data, 1<<20/procs+procs)
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s of %d bytes differs with %d processors", c, size, procs)
				}
			}
			if got := decompress(t, c, want); !bytes.Equal(got, data) {
				t.Errorf("%s of %d bytes does not come back", c, size)
			}
		}
	}
}

// decompress uses other libraries than what is tested, where there are some.
func decompress(t *testing.T, c diff.Compression, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	switch c.MediaType() {
	case ocispec.MediaTypeImageLayerGzip:
		z, err := gzip.NewReader(r)
		do(t, err)
		if !z.ModTime.IsZero() || z.Name != "" {
			t.Errorf("the gzip header has %v, %q", z.ModTime, z.Name)
		}
		r = z
	case ocispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewReader(r)
		do(t, err)
		defer z.Close()
		r = z
	}
	got, err := io.ReadAll(r)
	do(t, err)
	return got
}

func TestCompressorTellsItsWritersErrors(t *testing.T) {
	data := make([]byte, 8<<20)
	rand.New(rand.NewSource(1)).Read(data)
	before := runtime.NumGoroutine()
	for _, c := range allCompressions {
		for _, room := range []int{0, 5, 3 << 20, 8<<20 - 1} {
			w, err := diff.NewWriter(&limitedWriter{n: room}, c)
			do(t, err)
			_, werr := io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)})
			cerr := w.Close()
			if !errors.Is(cerr, errFull) || werr != nil && !errors.Is(werr, errFull) {
				t.Errorf("%s into %d bytes: write says %v, close %v", c, room, werr, cerr)
			}
			if n, err := w.Write([]byte{1}); n != 0 || !errors.Is(err, errFull) {
				t.Errorf("%s forgot its error: %d, %v", c, n, err)
			}
		}
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 100 {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestPackTellsWhatItWrote(t *testing.T) {
	root := upperTree(t)
	plain := writeLayer(t, root, diff.TarOptions{})
	for _, c := range allCompressions {
		var b bytes.Buffer
		layer, stats, err := diff.Pack(t.Context(), &b, root, diff.TarOptions{}, c)
		do(t, err)
		if layer.DiffID != digest.FromBytes(plain) || stats.Bytes != int64(len(plain)) {
			t.Errorf("%s: diffID %s, %d bytes", c, layer.DiffID, stats.Bytes)
		}
		want := ocispec.Descriptor{MediaType: c.MediaType(), Digest: digest.FromBytes(b.Bytes()), Size: int64(b.Len())}
		if got := layer.Blob; got.MediaType != want.MediaType || got.Digest != want.Digest || got.Size != want.Size {
			t.Errorf("%s: blob is %+v, want %+v", c, got, want)
		}
		if !bytes.Equal(decompress(t, c, b.Bytes()), plain) {
			t.Errorf("%s: the blob holds something else", c)
		}
	}
}

func TestPackOfNothingIsTheEmptyLayer(t *testing.T) {
	layer, _, err := diff.Pack(t.Context(), io.Discard, t.TempDir(), diff.TarOptions{}, diff.Compression{})
	if err != nil || !layer.Empty() {
		t.Errorf("%+v, %v", layer, err)
	}
}

func TestPackFailsWithItsWriter(t *testing.T) {
	root := t.TempDir()
	do(t, os.WriteFile(filepath.Join(root, "f"), mixed(9<<20), 0o644))
	before := runtime.NumGoroutine()
	for _, c := range allCompressions {
		layer, _, err := diff.Pack(t.Context(), &limitedWriter{n: 1000}, root, diff.TarOptions{}, c)
		if !errors.Is(err, errFull) || layer.DiffID != "" {
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
