package difftest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff/compress"
)

// Mixed has text, noise and zeros.
func Mixed(size int) []byte {
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

func Pack(t *testing.T, c compress.Method, data []byte, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := compress.NewWriter(&b, c)
	Do(t, err)
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(piece, len(rest))])
		Do(t, err)
		rest = rest[n:]
	}
	Do(t, w.Close(), w.Close())
	return b.Bytes()
}

// Unpack uses other libraries than what is tested, where there are some.
func Unpack(t *testing.T, c compress.Method, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	switch c.MediaType() {
	case ocispec.MediaTypeImageLayerGzip:
		z, err := gzip.NewReader(r)
		Do(t, err)
		if !z.ModTime.IsZero() || z.Name != "" {
			t.Errorf("the gzip header has %v, %q", z.ModTime, z.Name)
		}
		r = z
	case ocispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewReader(r)
		Do(t, err)
		defer z.Close()
		r = z
	}
	got, err := io.ReadAll(r)
	Do(t, err)
	return got
}

var AllCompressions = []compress.Method{{}, {Kind: compress.Gzip, Level: 6}, {Kind: compress.Zstd}, {Kind: compress.Zstd, Level: 1}, {Kind: compress.Uncompressed}}

// LimitedWriter fails after n bytes.
type LimitedWriter struct{ N int }

func (l *LimitedWriter) Write(p []byte) (int, error) {
	if l.N -= len(p); l.N < 0 {
		return 0, ErrFull
	}
	return len(p), nil
}

var ErrFull = errors.New("disk full")
