package compress

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Kinds of compression.
const (
	Gzip         = "gzip"
	Zstd         = "zstd"
	Uncompressed = "none"
)

// Levels that are taken where none is given, and the highest ones. Gzip's level
// 1 is chosen for speed: of source code and logs it packs one and a half times
// as many bytes per second of a processor as level 6, whose result is an eighth
// smaller.
const (
	gzipDefault, gzipMost = 1, 9
	zstdDefault, zstdMost = 3, 22
)

// maxThreads bounds the memory of a compressor: a thread takes about 4 MiB.
const maxThreads = 16

// Method is how a layer is packed. The zero value is gzip at the default
// level. The same input gives the same bytes however many processors there are.
type Method struct {
	Kind  string // [Gzip], which is meant by "" too, [Zstd] or [Uncompressed]
	Level int    // 1 to 9 for gzip, 1 to 22 for zstd; 0 is the default
}

// Parse reads what String writes: "gzip", "zstd" or "none", the
// first two with a level after a colon if wanted, as in "zstd:3".
func Parse(text string) (Method, error) {
	kind, level, hasLevel := strings.Cut(text, ":")
	c := Method{Kind: kind}
	if hasLevel {
		n, err := strconv.Atoi(level)
		if err != nil || n < 1 || kind == Uncompressed || level != strconv.Itoa(n) {
			return Method{}, badCompression(text)
		}
		c.Level = n
	}
	if kind == "" || !c.valid() {
		return Method{}, badCompression(text)
	}
	return c, nil
}

func badCompression(text string) error {
	return fmt.Errorf("compression %q: want gzip, gzip:1 to gzip:%d, zstd, zstd:1 to zstd:%d, or none: %w", text, gzipMost, zstdMost, errdefs.ErrInvalidArgument)
}

func (c Method) valid() bool {
	switch c.kind() {
	case Gzip:
		return c.Level >= 0 && c.Level <= gzipMost
	case Zstd:
		return c.Level >= 0 && c.Level <= zstdMost
	case Uncompressed:
		return c.Level == 0
	}
	return false
}

func (c Method) kind() string {
	if c.Kind == "" {
		return Gzip
	}
	return c.Kind
}

// level is the one that is meant.
func (c Method) level() int {
	switch {
	case c.Level != 0:
		return c.Level
	case c.kind() == Zstd:
		return zstdDefault
	default:
		return gzipDefault
	}
}

// String returns the form that [Parse] reads.
func (c Method) String() string {
	if c.Level == 0 {
		return c.kind()
	}
	return c.kind() + ":" + strconv.Itoa(c.Level)
}

// MediaType returns the image specification's type of a layer that is packed
// so.
func (c Method) MediaType() string {
	switch c.kind() {
	case Zstd:
		return ocispec.MediaTypeImageLayerZstd
	case Uncompressed:
		return ocispec.MediaTypeImageLayer
	default:
		return ocispec.MediaTypeImageLayerGzip
	}
}

// NewWriter returns a compressor in front of w, which uses several processors.
// It always has to be closed: this ends its threads. An error of w is returned
// by later writes and by Close, at the latest.
//
// Compressors that are open at the same time share the processors, and so the
// memory for their threads. None waits for another one to end.
func NewWriter(w io.Writer, c Method) (io.WriteCloser, error) {
	if !c.valid() {
		return nil, badCompression(c.String())
	}
	out := &stickyWriter{w: w}
	switch c.kind() {
	case Gzip:
		return newGzipWriter(w, c.level()), nil
	case Zstd:
		z, err := zstd.NewWriter(out,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.level())),
			// One thread compresses while another writes; more do not help a
			// single stream.
			zstd.WithEncoderConcurrency(2))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &compressor{z: z, out: out}, nil
	default:
		return &compressor{z: nopCloser{out}, out: out}, nil
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// compressor is a writer of the library with the output's errors put where they
// belong.
type compressor struct {
	z      io.WriteCloser
	out    *stickyWriter
	closed bool
}

func (c *compressor) Write(p []byte) (int, error) {
	if err := c.out.failed(); err != nil {
		return 0, err
	}
	n, err := c.z.Write(p)
	if err == nil {
		err = c.out.failed()
	}
	return n, err
}

func (c *compressor) Close() error {
	if c.closed {
		return c.out.failed()
	}
	c.closed = true
	err := c.z.Close()
	if outErr := c.out.failed(); outErr != nil {
		return outErr
	}
	return err
}

// stickyWriter keeps the first error of a writer to itself, and swallows what
// comes after it: the library writes in a goroutine of its own.
type stickyWriter struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

func (s *stickyWriter) Write(p []byte) (int, error) {
	if s.failed() != nil {
		return len(p), nil
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return len(p), nil
}

func (s *stickyWriter) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
