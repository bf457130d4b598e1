package compress_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/internal/difftest"
)

func TestParseCompression(t *testing.T) {
	for text, want := range map[string]compress.Method{
		"gzip":    {Kind: compress.Gzip},
		"gzip:1":  {Kind: compress.Gzip, Level: 1},
		"gzip:9":  {Kind: compress.Gzip, Level: 9},
		"zstd":    {Kind: compress.Zstd},
		"zstd:22": {Kind: compress.Zstd, Level: 22},
		"none":    {Kind: compress.Uncompressed},
	} {
		got, err := compress.Parse(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "gz", "gzip:", "gzip:0", "gzip:10", "gzip:-1", "gzip:+1", "gzip:01", "gzip:1:2", "zstd:23", "none:1", "none:", "GZIP", " gzip", "xz"} {
		_, err := compress.Parse(text)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "gzip:1 to gzip:9, zstd, zstd:1 to zstd:22, or none") {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

func TestCompressionDefaultsToGzip(t *testing.T) {
	var c compress.Method
	if c.String() != "gzip" || c.MediaType() != ocispec.MediaTypeImageLayerGzip {
		t.Errorf("zero value is %s, %s", c, c.MediaType())
	}
	if got := (compress.Method{Kind: compress.Zstd}).MediaType(); got != ocispec.MediaTypeImageLayerZstd {
		t.Errorf("zstd is %s", got)
	}
	if got := (compress.Method{Kind: compress.Uncompressed}).MediaType(); got != ocispec.MediaTypeImageLayer {
		t.Errorf("none is %s", got)
	}
	if _, err := compress.NewWriter(io.Discard, compress.Method{Kind: "xz"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("xz gave %v", err)
	}
}

func TestCompressedBytesDoNotDependOnProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, size := range []int{0, 1, 1 << 20, 12<<20 + 345} {
		data := difftest.Mixed(size)
		for _, c := range difftest.AllCompressions {
			var want []byte
			for _, procs := range []int{1, 2, 8} {
				runtime.GOMAXPROCS(procs)
				got := difftest.Pack(t, c, data, 1<<20/procs+procs)
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s of %d bytes differs with %d processors", c, size, procs)
				}
			}
			if got := difftest.Unpack(t, c, want); !bytes.Equal(got, data) {
				t.Errorf("%s of %d bytes does not come back", c, size)
			}
		}
	}
}

func TestCompressorTellsItsWritersErrors(t *testing.T) {
	data := make([]byte, 8<<20)
	rand.New(rand.NewSource(1)).Read(data)
	before := runtime.NumGoroutine()
	for _, c := range difftest.AllCompressions {
		for _, room := range []int{0, 5, 3 << 20, 8<<20 - 1} {
			w, err := compress.NewWriter(&difftest.LimitedWriter{N: room}, c)
			difftest.Do(t, err)
			_, werr := io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)})
			cerr := w.Close()
			if !errors.Is(cerr, difftest.ErrFull) || werr != nil && !errors.Is(werr, difftest.ErrFull) {
				t.Errorf("%s into %d bytes: write says %v, close %v", c, room, werr, cerr)
			}
			if n, err := w.Write([]byte{1}); n != 0 || !errors.Is(err, difftest.ErrFull) {
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
