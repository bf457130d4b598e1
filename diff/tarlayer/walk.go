package tarlayer

import (
	"archive/tar"
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// layerTar is one run of Write.
type layerTar struct {
	ctx     context.Context
	opts    Options
	marks   string          // prefix of the overlay's attributes
	out     *countingWriter // of tw
	tw      *tar.Writer
	links   inode.Links
	dirs    inode.Dirs // of links
	way     *tree.Descent[inside]
	chunk   []byte
	entries int64
}

// inside is a directory that is being written.
type inside struct {
	// marked says that regular files in it may stand for deletions.
	marked bool
}

// source is an entry of the tree on its way into the stream.
type source struct {
	path string // from the root, without a slash in front
	at   int    // the directory that holds it
	name string // in there
	st   unix.Stat_t
	fd   int // itself, if opened

	opened bool
}

// file is the entry itself, for reading its attributes.
func (s *source) file() xattr.File {
	if s.opened {
		return xattr.FD(s.fd)
	}
	return xattr.Path(tree.ProcPath(s.at, s.name))
}

func (t *layerTar) root(fd int) error {
	s := &source{path: ".", at: fd, name: ".", fd: fd, opened: true}
	if err := unix.Fstat(fd, &s.st); err != nil {
		return fmt.Errorf("stat root: %w", err)
	}
	attrs, err := t.attributes(s)
	if err != nil {
		return err
	}
	if t.opts.Root {
		if err := t.header(s, attrs, tar.Header{Typeflag: tar.TypeDir, Name: "./"}); err != nil {
			return err
		}
	}
	t.way = tree.NewDescent[inside](tree.OpenPlain)
	defer t.way.Close()
	top, err := tree.ReopenedDir(fd)
	if err != nil {
		return err
	}
	if err := t.enter("", "", attrs, top); err != nil {
		return err
	}
	return t.children()
}

// enter goes down into a directory. prefix is its path and a slash, or empty for the
// root.
func (t *layerTar) enter(name, prefix string, attrs attributes, at *tree.Dir) error {
	t.way.Push(name, inside{attrs.opaque == mark.OpaqueXattrs}, at)
	if attrs.opaque == mark.OpaqueYes {
		return t.mark(prefix + diff.OpaqueMarker)
	}
	return nil
}

// children writes what is in the root, and in all below it.
func (t *layerTar) children() error {
	for {
		name, ok, err := t.way.Next(t.way.First)
		switch {
		case err != nil:
			path, _ := t.way.PathOf(len(t.way.Levels) - 1)
			return fmt.Errorf("%q: %w", text.Beginning(path), err)
		case ok:
			if err = t.ctx.Err(); err == nil {
				err = t.name(name)
			}
		case len(t.way.Levels) == 1:
			return nil
		default:
			err = t.way.Pop()
		}
		if err != nil {
			return err
		}
	}
}

// name writes one entry of the directory that the walk is in.
func (t *layerTar) name(name string) error {
	l := t.way.Top()
	s := &source{at: l.Dirs[0].FD(), name: name}
	var length int
	if s.path, length = t.way.Join(name); length >= diff.MaxPath {
		return diff.TooLong(s.path, length)
	}
	if diff.IsReserved(s.name) {
		return fmt.Errorf("%q: a layer cannot hold a name that begins with %s: %w", text.Beginning(s.path), diff.WhiteoutPrefix, diff.ErrReserved)
	}
	if err := unix.Fstatat(s.at, s.name, &s.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %q: %w", text.Beginning(s.path), tree.Raced(err))
	}
	switch s.st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return nil
	case unix.S_IFDIR:
		return t.directory(s)
	case unix.S_IFREG:
		return t.regular(s, l.Of.marked)
	default:
		return t.special(s)
	}
}

// opens says what opening gave.
func (s *source) opens(fd int, err error) error {
	if err != nil {
		return fmt.Errorf("%q: %w", text.Beginning(s.path), tree.Raced(err))
	}
	s.fd, s.opened = fd, true
	return nil
}

func (t *layerTar) directory(s *source) error {
	if err := s.opens(tree.OpenDirAt(s.at, s.name)); err != nil {
		return err
	}
	at := tree.DirOf(s.fd, &s.st)
	attrs, err := t.attributes(s)
	if err == nil {
		err = t.header(s, attrs, tar.Header{Typeflag: tar.TypeDir, Name: s.path + "/"})
	}
	if err != nil {
		at.Close()
		return err
	}
	return t.enter(s.name, s.path+"/", attrs, at)
}

// regular writes a regular file: its content, or, if the stream has that under
// another name, a link to there.
func (t *layerTar) regular(s *source, marked bool) error {
	if s.st.Size == 0 {
		return t.empty(s, marked)
	}
	if first, err := t.link(s); err != nil {
		return err
	} else if first != "" {
		return t.linked(s, first)
	}
	if err := s.opens(tree.OpenRegular(s.at, s.name)); err != nil {
		return err
	}
	defer unix.Close(s.fd)
	attrs, err := t.attributes(s)
	if err != nil {
		return err
	}
	if err := t.header(s, attrs, tar.Header{Typeflag: tar.TypeReg, Size: s.st.Size}); err != nil {
		return err
	}
	return t.content(s)
}

// empty writes an empty file, which may stand for a deletion.
func (t *layerTar) empty(s *source, marked bool) error {
	attrs, err := t.attributes(s)
	if err != nil {
		return err
	}
	if marked && attrs.whiteout {
		return t.whiteout(s)
	}
	return t.firstOr(s, attrs, tar.Header{Typeflag: tar.TypeReg})
}

// firstOr writes what needs no content: a link to the file, if the stream has that
// under another name, else hdr.
func (t *layerTar) firstOr(s *source, attrs attributes, hdr tar.Header) error {
	first, err := t.link(s)
	if err != nil {
		return err
	}
	if first != "" {
		hdr = tar.Header{Typeflag: tar.TypeLink, Linkname: first}
	}
	return t.header(s, attrs, hdr)
}

// linked writes a further name of a file.
func (t *layerTar) linked(s *source, first string) error {
	attrs, err := t.attributes(s)
	if err != nil {
		return err
	}
	return t.header(s, attrs, tar.Header{Typeflag: tar.TypeLink, Linkname: first})
}

// special writes what is neither a directory nor a regular file.
func (t *layerTar) special(s *source) error {
	if mark.IsWhiteout(&s.st) {
		return t.whiteout(s)
	}
	attrs, err := t.attributes(s)
	if err != nil {
		return err
	}
	return t.described(s, attrs)
}

// described writes a special file with attributes that have been read.
func (t *layerTar) described(s *source, attrs attributes) error {
	var hdr tar.Header
	switch s.st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := tree.ReadlinkAt(s.at, s.name)
		if err != nil {
			return fmt.Errorf("read link %q: %w", s.path, err)
		}
		hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, target
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if s.st.Mode&unix.S_IFMT == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(s.st.Rdev)), int64(unix.Minor(s.st.Rdev))
	default:
		return fmt.Errorf("%q: unknown file type %o: %w", s.path, s.st.Mode&unix.S_IFMT, diff.ErrUnsupported)
	}
	return t.firstOr(s, attrs, hdr)
}

// link returns the name under which the stream holds the file already, or
// nothing if this is its first.
func (t *layerTar) link(s *source) (string, error) {
	if s.st.Nlink < 2 {
		return "", nil
	}
	first, err := t.links.Meet(&s.st)
	if err != nil {
		return "", err
	}
	if first != 0 {
		return t.links.Path(first)
	}
	dir, name, err := t.dirs.Split(&t.links.Names, s.path)
	if err != nil {
		return "", err
	}
	return "", t.links.Add(&s.st, dir, name)
}
