package tarlayer

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/internal/chunk"
)

// Pack writes the layer of a sealed upper directory to w, see [Write], and
// returns what it is. On an error what was written to w is worthless.
func Pack(ctx context.Context, w io.Writer, dir string, opts Options, c compress.Method) (diff.Layer, Stats, error) {
	layer, stats, err := pack(w, c, func(w io.Writer) (Stats, error) { return writeTar(ctx, w, dir, opts) })
	if err != nil {
		return diff.Layer{}, Stats{}, fmt.Errorf("pack layer of %s: %w", dir, err)
	}
	return layer, stats, nil
}

// PackChanges is Pack for changes where they lie, see [WriteChanges].
func PackChanges(ctx context.Context, w io.Writer, changes changes.Walker, opts Options, c compress.Method) (diff.Layer, Stats, error) {
	return pack(w, c, func(w io.Writer) (Stats, error) { return WriteChanges(ctx, w, changes, opts) })
}

func pack(w io.Writer, c compress.Method, write func(io.Writer) (Stats, error)) (diff.Layer, Stats, error) {
	lw, err := NewWriter(w, c)
	if err != nil {
		return diff.Layer{}, Stats{}, err
	}
	stats, err := write(lw)
	if err = errors.Join(err, lw.Close()); err != nil {
		return diff.Layer{}, Stats{}, err
	}
	return lw.Layer(), stats, nil
}

// Writer makes a layer of a tar stream: it compresses the stream, and
// digests what goes in and what comes out. Digesting, compressing and the
// caller's own work go on at the same time.
type Writer struct {
	z     io.WriteCloser
	media string // type of the blob
	tar   *chunk.HashQueue
	blob  *digestWriter
	chunk []byte
	err   error // the first one
	done  bool
	layer diff.Layer
}

// NewWriter returns a writer of a tar stream that writes a blob to w. It
// always has to be closed.
func NewWriter(w io.Writer, c compress.Method) (*Writer, error) {
	by := func(w io.Writer) (io.WriteCloser, error) { return compress.NewWriter(w, c) }
	return newLayerWriter(w, c.MediaType(), c.MediaType() != ocispec.MediaTypeImageLayer, by)
}

// NewWriterBy is NewWriter with a compressor of the caller's, which
// makes blobs of a media type.
func NewWriterBy(w io.Writer, mediaType string, compress func(io.Writer) (io.WriteCloser, error)) (*Writer, error) {
	return newLayerWriter(w, mediaType, true, compress)
}

func newLayerWriter(w io.Writer, mediaType string, changes bool, compress func(io.Writer) (io.WriteCloser, error)) (*Writer, error) {
	blob := &digestWriter{w: w}
	if changes {
		blob.h = digest.Canonical.Hash()
	}
	z, err := compress(blob)
	if err != nil {
		return nil, err
	}
	return &Writer{z: z, media: mediaType, tar: chunk.NewHashQueue(), blob: blob}, nil
}

// Write takes a piece of the tar stream.
func (l *Writer) Write(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	written := 0
	for len(p) > 0 {
		if l.chunk == nil {
			l.chunk = l.tar.Buffer(nil)[:0]
		}
		n := copy(l.chunk[len(l.chunk):cap(l.chunk)], p)
		l.chunk = l.chunk[:len(l.chunk)+n]
		p, written = p[n:], written+n
		if len(l.chunk) == cap(l.chunk) {
			if l.flush(); l.err != nil {
				return written, l.err
			}
		}
	}
	return written, nil
}

// flush hands the chunk to the digest and to the compressor. Both only read it,
// and the compressor is done with it when it returns.
func (l *Writer) flush() {
	if len(l.chunk) == 0 {
		return
	}
	shared := l.tar.Share(l.chunk)
	if _, err := l.z.Write(l.chunk); err != nil && l.err == nil {
		l.err = fmt.Errorf("compress: %w", err)
	}
	shared.Release()
	l.chunk = nil
}

// Close ends the blob. Only if it returns no error the blob is whole.
func (l *Writer) Close() error {
	if l.done {
		return l.err
	}
	l.done = true
	if l.err == nil {
		l.flush()
	}
	if err := l.z.Close(); err != nil && l.err == nil {
		l.err = fmt.Errorf("compress: %w", err)
	}
	diffID := l.tar.Close()
	if l.err != nil {
		return l.err
	}
	l.layer = diff.Layer{
		Blob:   ocispec.Descriptor{MediaType: l.media, Digest: l.blob.digest(diffID), Size: l.blob.n},
		DiffID: diffID,
	}
	return nil
}

// Layer returns what was written. It is empty before a successful Close.
func (l *Writer) Layer() diff.Layer { return l.layer }

// digestWriter digests, if it has a hash, and counts what goes through it.
type digestWriter struct {
	w io.Writer
	h hash.Hash
	n int64
}

// digest returns the digest of all that was written. What was not compressed is
// the tar stream, whose digest is known.
func (d *digestWriter) digest(diffID digest.Digest) digest.Digest {
	if d.h == nil {
		return diffID
	}
	return digest.NewDigest(digest.Canonical, d.h)
}

func (d *digestWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if d.h != nil {
		d.h.Write(p[:n])
	}
	d.n += int64(n)
	return n, err
}
