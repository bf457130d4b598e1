package diff

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// links is a file with several names of which some are still due. There can be
// many, so their first names in the stream share the directory's part.
type links struct {
	dir, name string
	due       uint64 // how many more names it has, some perhaps outside the tree
}

// layerTar is one run of WriteLayer.
type layerTar struct {
	ctx     context.Context
	opts    TarOptions
	marks   string // prefix of the overlay's attributes
	tw      *tar.Writer
	links   map[fileID]links
	dirents [64 << 10]byte
	chunk   []byte
	entries int64
}

// source is an entry of the tree on its way into the stream.
type source struct {
	path string // from the root, without a slash in front
	dir  string // the path without the name
	at   int    // the directory that holds it
	name string // in there
	st   unix.Stat_t
	fd   int // itself, if opened

	opened bool
}

// file is the entry itself, for reading its attributes.
func (s *source) file() file {
	if s.opened {
		return openFile(s.fd)
	}
	return filePath(procPath(s.at, s.name))
}

// procPath leads to a name in an open directory. Only the name may be a link.
func procPath(fd int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + name
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
	return t.children(fd, "", attrs.opaque)
}

// children writes what is in a directory. dir is its path and a slash, or
// empty for the root; opaque the value of its mark.
func (t *layerTar) children(fd int, dir, opaque string) error {
	if opaque == opaqueYes {
		if err := t.mark(dir + opaqueMarker); err != nil {
			return err
		}
	}
	names := newNameReader([]int{fd}, t.dirents[:])
	for {
		some, err := names.next()
		if err != nil {
			return fmt.Errorf("%q: %w", dir, err)
		}
		if len(some) == 0 {
			return nil
		}
		for _, name := range some {
			if err := t.ctx.Err(); err != nil {
				return err
			}
			s := &source{path: dir + name, dir: dir, at: fd, name: name}
			if err := t.entry(s, opaque == opaqueXattrs); err != nil {
				return err
			}
		}
	}
}

// entry writes one entry of a directory. marked says that regular files in
// this directory may stand for deletions.
func (t *layerTar) entry(s *source, marked bool) error {
	if IsReserved(s.name) {
		return fmt.Errorf("%q: a layer cannot hold a name that begins with %s: %w", s.path, whiteoutPrefix, ErrReserved)
	}
	if err := unix.Fstatat(s.at, s.name, &s.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %q: %w", s.path, changedIfGone(err))
	}
	switch s.st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return nil
	case unix.S_IFDIR:
		return t.directory(s)
	case unix.S_IFREG:
		return t.regular(s, marked)
	default:
		return t.special(s)
	}
}

// open opens a regular file or a directory.
func (s *source) open(flags int) error {
	// Without O_NOATIME every file that is read would be written to.
	fd, err := openAt2(s.at, s.name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME|flags)
	if err != nil {
		return fmt.Errorf("%q: %w", s.path, changedIfGone(err))
	}
	s.fd, s.opened = fd, true
	return nil
}

// changedIfGone explains errors that only another writer can cause.
func changedIfGone(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

func (t *layerTar) directory(s *source) error {
	if err := s.open(unix.O_DIRECTORY); err != nil {
		return err
	}
	defer unix.Close(s.fd)
	attrs, err := t.attributes(s)
	if err != nil {
		return err
	}
	dir := s.path + "/"
	if err := t.header(s, attrs, tar.Header{Typeflag: tar.TypeDir, Name: dir}); err != nil {
		return err
	}
	return t.children(s.fd, dir, attrs.opaque)
}

// regular writes a regular file: its content, or, if the stream has that under
// another name, a link to there.
func (t *layerTar) regular(s *source, marked bool) error {
	if s.st.Size == 0 {
		return t.empty(s, marked)
	}
	if first := t.link(s); first != "" {
		return t.linked(s, first)
	}
	if err := s.open(0); err != nil {
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
	hdr := tar.Header{Typeflag: tar.TypeReg}
	if first := t.link(s); first != "" {
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
	if isWhiteout(&s.st) {
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
		target, err := readlinkAt(s.at, s.name)
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
		return fmt.Errorf("%q: unknown file type %o: %w", s.path, s.st.Mode&unix.S_IFMT, ErrUnsupported)
	}
	if first := t.link(s); first != "" {
		hdr = tar.Header{Typeflag: tar.TypeLink, Linkname: first}
	}
	return t.header(s, attrs, hdr)
}

// link returns the name under which the stream holds the file already, or
// nothing if this is its first.
func (t *layerTar) link(s *source) string {
	if s.st.Nlink < 2 {
		return ""
	}
	id := fileID{s.st.Dev, s.st.Ino}
	l, ok := t.links[id]
	if !ok {
		t.links[id] = links{s.dir, s.name, uint64(s.st.Nlink) - 1} //nolint:unconvert // 32 bits on arm64
		return ""
	}
	if l.due--; l.due == 0 {
		delete(t.links, id)
	} else {
		t.links[id] = l
	}
	return l.dir + l.name
}
