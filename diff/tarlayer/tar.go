package tarlayer

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/internal/chunk"
	"github.com/baleen-project/baleen/diff/internal/mark"
)

// Options says how a tree becomes a tar stream. The zero value is right for
// an upper directory of an overlay that root mounts.
type Options struct {
	// UserXattr says that the overlay keeps its marks in user.overlay, not in
	// trusted.overlay (mount option userxattr).
	UserXattr bool
	// Root puts an entry "./" for the root itself in front.
	Root bool
	// MapIDs turns ids as the tree has them into those of the layer: owners,
	// and ids in access control lists. Nil leaves them.
	MapIDs idmap.Func
	// Latest, if not nil, is put in place of times after it, for builds that can
	// be repeated (SOURCE_DATE_EPOCH).
	Latest *time.Time
	// Limit bounds the layer. At the file with which it would become larger, writing
	// fails with [diff.ErrOverLimit].
	Limit diff.Limit
	// Wrote, if not nil, is told how many bytes of files have been written since
	// it was told last.
	Wrote func(bytes int64)
}

// Stats says what went into a layer.
type Stats struct {
	Entries int64 // of the tar stream, marks included
	Bytes   int64 // of the tar stream
}

// Write writes the tar stream of a sealed upper directory to w: a tree
// that nobody writes any more. If somebody does, it fails with [diff.ErrChanged].
//
// Names come in the order of their bytes, a directory before what is in it.
// What overlay keeps as marks becomes the marks of the image specification.
// Times are cut to the second, sockets are left out. What a layer cannot hold
// is an error: names that begin with ".wh." ([diff.ErrReserved]), paths of 4096 bytes
// and more (ENAMETOOLONG), and what is only half there (overlay.metacopy and
// redirect, [diff.ErrUnsupported]).
//
// Memory does not grow with the number of files. First names of many files that have
// several go to a temporary file, see package inode.
func Write(ctx context.Context, w io.Writer, dir string, opts Options) (Stats, error) {
	buffered := writers.Get().(*bufio.Writer)
	defer func() { buffered.Reset(nil); writers.Put(buffered) }()
	buffered.Reset(w)
	stats, err := writeTar(ctx, buffered, dir, opts)
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return Stats{}, fmt.Errorf("write layer of %s: %w", dir, err)
	}
	return stats, nil
}

// writers are buffers of 1 MiB, which cost more than the layer if that is small.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, chunk.Size) }}

// writeTar is Write without a buffer: headers come in pieces of 512 bytes.
func writeTar(ctx context.Context, w io.Writer, dir string, opts Options) (_ Stats, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Stats{}, fmt.Errorf("open: %w", err)
	}
	defer unix.Close(fd)

	out := &countingWriter{w: w}
	t := newLayerTar(ctx, out, opts)
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.root(fd); err != nil {
		return Stats{}, err
	}
	if err := t.tw.Close(); err != nil {
		return Stats{}, err
	}
	return Stats{Entries: t.entries, Bytes: out.n}, nil
}

func newLayerTar(ctx context.Context, w *countingWriter, opts Options) *layerTar {
	return &layerTar{
		ctx:   ctx,
		opts:  opts,
		out:   w,
		marks: mark.Prefix(opts.UserXattr),
		tw:    tar.NewWriter(w),
	}
}

// close gives up what the run takes besides the stream.
func (t *layerTar) close() error {
	if t.chunk != nil {
		chunk.Put(t.chunk)
		t.chunk = nil
	}
	return t.links.Close()
}

// countingWriter counts what goes through it.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
