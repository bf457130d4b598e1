package diff_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
)

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

var allCompressions = []diff.Compression{{}, {Kind: diff.Gzip, Level: 6}, {Kind: diff.Zstd}, {Kind: diff.Zstd, Level: 1}, {Kind: diff.Uncompressed}}

// limitedWriter fails after n bytes.
type limitedWriter struct{ n int }

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.n -= len(p); l.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("disk full")
