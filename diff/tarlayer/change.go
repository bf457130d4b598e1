package tarlayer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// WriteChanges writes the tar stream of changes straight from where they lie,
// without a sealed copy: byte for byte what [Write] writes of one, but for
// the time of the root. Whoever writes to the files meanwhile makes it fail with
// [diff.ErrChanged]; it can be tried again. Of opts, UserXattr and Root have no
// meaning here: the walk knows.
//
// w gets headers in pieces of 512 bytes; a [Writer] gathers them.
func WriteChanges(ctx context.Context, w io.Writer, c changes.Walker, opts Options) (Stats, error) {
	out := &countingWriter{w: w}
	t := newLayerTar(ctx, out, opts)
	_, err := c.Walk(ctx, t.change)
	if err == nil {
		err = t.tw.Close()
	}
	if err = errors.Join(err, t.close()); err != nil {
		return Stats{}, fmt.Errorf("write layer of changes: %w", err)
	}
	return Stats{Entries: t.entries, Bytes: out.n}, nil
}

// change writes one change.
func (t *layerTar) change(c *changes.Change) error {
	if c.TooLong() {
		return diff.TooLong(c.Path, c.Length)
	}
	if c.Kind == changes.Deleted {
		dir, name := path.Split(c.Path)
		return t.mark(dir + diff.WhiteoutPrefix + name)
	}
	at, err := c.OpenDir()
	if err != nil {
		return err
	}
	s := &source{path: c.Path, at: at, name: c.Name(), st: c.Stat}
	if c.Type() == unix.S_IFREG {
		return t.changedFile(c, s)
	}
	attrs, err := t.changeAttributes(c)
	if err != nil {
		return err
	}
	if c.Type() == unix.S_IFDIR {
		return t.header(s, attrs, tar.Header{Typeflag: tar.TypeDir, Name: c.Path + "/"})
	}
	return t.described(s, attrs)
}

// changeAttributes are what a layer carries of a change; marks of the overlay
// have been understood by the walk.
func (t *layerTar) changeAttributes(c *changes.Change) (a attributes, err error) {
	carried, err := c.Xattrs()
	if err == nil {
		a.records, err = t.records(c.Path, carried)
	}
	return a, err
}

// changedFile writes a regular file. Its data may lie in a layer below.
func (t *layerTar) changedFile(c *changes.Change, s *source) (err error) {
	if first, err := t.link(s); err != nil {
		return err
	} else if first != "" {
		attrs, err := t.changeAttributes(c)
		if err != nil {
			return err
		}
		return t.header(s, attrs, tar.Header{Typeflag: tar.TypeLink, Linkname: first})
	}
	content, err := c.Content()
	if err != nil {
		return tree.Raced(err)
	}
	defer func() { err = errors.Join(err, unix.Close(content.FD)) }()
	var attrs attributes
	if attrs.records, err = t.records(c.Path, content.Attrs); err != nil {
		return err
	}
	if err := t.header(s, attrs, tar.Header{Typeflag: tar.TypeReg, Size: content.Stat.Size}); err != nil {
		return err
	}
	data := &source{path: c.Path, st: content.Stat, fd: content.FD, opened: true}
	if err := t.content(data); err != nil {
		return err
	}
	return data.untouched()
}

// untouched is unchanged for a file that is not sealed: a program can give it the
// time back that it had, but not this one.
func (s *source) untouched() error {
	var now unix.Stat_t
	if err := unix.Fstat(s.fd, &now); err != nil {
		return fmt.Errorf("stat %q: %w", s.path, err)
	}
	if now.Ctim != s.st.Ctim {
		return fmt.Errorf("%q: %w", s.path, diff.ErrChanged)
	}
	return nil
}
