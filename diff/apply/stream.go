package apply

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/chunk"
)

// zstdWindow bounds what a zstd frame may make the decoder hold. It is what
// the zstd command accepts without being told otherwise.
const zstdWindow = 128 << 20

// stream is a layer that is being read: decompressed ahead in one goroutine,
// used in the caller's, and digested in a third one.
type stream struct {
	size   int64      // bytes that were used
	limit  diff.Limit // of that
	raw    *rawReader
	source io.ReadCloser // of what raw reads, decompressed
	queue  *chunk.HashQueue
	ahead  chan readAhead
	stop   chan struct{}
	ended  chan struct{} // the goroutine that reads has
	now    *chunk.Shared
	rest   []byte // of now
	err    error
	sum    digest.Digest
}

// readAhead is what was read, and the error that came behind it.
type readAhead struct {
	data []byte
	err  error
}

// openStream begins to read r, of which a limit bounds what it decompresses to. The
// caller must call close, after which r is not read any more.
func openStream(ctx context.Context, r io.Reader, limit diff.Limit) (*stream, error) {
	raw := &rawReader{ctx: ctx, r: r}
	source, err := Unpack(raw)
	if err != nil {
		return nil, err
	}
	s := &stream{
		limit:  limit,
		raw:    raw,
		source: source,
		queue:  chunk.NewHashQueue(),
		ahead:  make(chan readAhead, chunk.Buffers),
		stop:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	go s.run()
	return s, nil
}

func (s *stream) run() {
	defer close(s.ended)
	for {
		buf := s.queue.Buffer(s.stop)
		if buf == nil {
			return
		}
		n, err := fill(s.source, buf)
		if err != nil && !errors.Is(err, io.EOF) && s.raw.err == nil {
			err = invalid("decompress: %w", err)
		}
		select {
		case s.ahead <- readAhead{buf[:n], err}:
		case <-s.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// fill is io.ReadFull without its way of hiding a source's own error.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// Read gives the decompressed stream.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.now != nil {
			s.now.Release()
			s.now = nil
		}
		if s.err != nil {
			return 0, s.err
		}
		next := <-s.ahead
		s.now, s.rest, s.err = s.queue.Share(next.data), next.data, next.err
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	if s.size += int64(n); s.size > s.limit.MaxBytes() {
		s.err = fmt.Errorf("the stream has more than %d bytes%s: %w", s.limit.MaxBytes(), s.limit.Hint(), diff.ErrOverLimit)
		return n, s.err
	}
	return n, nil
}

// close ends reading, wherever it is. It returns no error that Read did not.
func (s *stream) close() error {
	close(s.stop)
	<-s.ended
	if s.now != nil {
		s.now.Release()
	}
	s.sum = s.queue.Close()
	if err := s.source.Close(); err != nil && errors.Is(s.err, io.EOF) {
		return fmt.Errorf("decompress: %w", err)
	}
	return nil
}

// digest is that of what was read. It is known once the stream is closed.
func (s *stream) digest() digest.Digest { return s.sum }

// Unpack tells by its first bytes how a stream is compressed, and undoes
// it. What it does not know it takes to be not compressed.
func Unpack(r io.Reader) (io.ReadCloser, error) {
	buffered := readers.Get().(*bufio.Reader)
	buffered.Reset(r)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b, 0x08}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, invalid("gzip: %w", err)
		}
		return pooled{z, buffered}, nil
	case isZstd(magic):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, invalid("zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return pooled{buffered, buffered}, nil
}

// readers are buffers of chunk.Size bytes, which one stream after the other uses.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, chunk.Size) }}

// pooled gives its buffer back when it is closed: nothing of it reads ahead, as
// the goroutines of zstd do.
type pooled struct {
	io.Reader
	buffered *bufio.Reader
}

func (p pooled) Close() (err error) {
	if c, ok := p.Reader.(io.Closer); ok {
		err = c.Close()
	}
	p.buffered.Reset(nil)
	readers.Put(p.buffered)
	return err
}

// isZstd knows frames and skippable frames (RFC 8878, 3.1).
func isZstd(magic []byte) bool {
	return bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
}

// rawReader reads until its context ends. It remembers the reader's own failure,
// to tell it from what is wrong with the bytes.
type rawReader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *rawReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
