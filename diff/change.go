package diff

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// ErrChanged says that a file changed while it was read. It is errdefs'
// ErrConflict.
var ErrChanged = errdefs.ErrConflict.WithMessage("changed while it was read")

// Kind says what happened to a path.
type Kind int

// Kinds of changes, against what the container was created with.
const (
	Added Kind = iota
	Modified
	Deleted
)

// Change is one path that differs. It is valid only during the call that it is
// handed to.
type Change struct {
	Kind Kind
	// Path is relative to the root of the file system, with slashes; "." is
	// the root itself. If it is one that no layer can hold, of 4,096 bytes (PATH_MAX)
	// and more, it is only what the path begins with, and an ellipsis.
	Path string
	// Length is that of the whole path in bytes.
	Length int
	// Stat is the file's, as the container sees it; unset for Deleted. The
	// times have not been truncated.
	Stat unix.Stat_t

	view  *view
	dir   *dir
	entry *entry
	at    *place // the directory that it is in
	in    way    // to the directory that has the entry
	level int    // of it, on the way
}

// way is what a walk has gone down. It opens directories again that have been
// closed.
type way interface {
	ensure(level int) error
}

// reach has the directory open that has the entry. A change of a directory may be
// looked at long after the walk has told it.
func (c *Change) reach() error {
	if err := c.in.ensure(c.level); err != nil {
		return raced(err)
	}
	return nil
}

// Name is the last element of the path; "." for the root.
func (c *Change) Name() string { return c.entry.name }

// Depth is how many elements the path has; 0 for the root.
func (c *Change) Depth() int {
	if c.Path == "." {
		return 0
	}
	return c.level + 1
}

// Shown is the path for people. Of one that no layer can hold it is the beginning,
// with the reason.
func (c *Change) Shown() string {
	if !c.TooLong() {
		return c.Path
	}
	return fmt.Sprintf("%s (a path of %d bytes, of which a layer holds up to %d)", begin(c.Path, tooLongShown), c.Length, maxPath-1)
}

// TooLong reports whether a layer could not hold the path.
func (c *Change) TooLong() bool { return c.Length >= maxPath }

// IsDir reports whether the path is a directory now.
func (c *Change) IsDir() bool { return c.Kind != Deleted && c.entry.isDir() }

// Type is the file type part of the mode, unix.S_IFREG and so on.
func (c *Change) Type() uint32 { return c.Stat.Mode & unix.S_IFMT }

// Xattrs returns the extended attributes that a layer carries.
func (c *Change) Xattrs() ([]Xattr, error) {
	if err := c.reach(); err != nil {
		return nil, err
	}
	attrs, err := c.view.xattrs(c.entry)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: c.Path, Err: err}
	}
	return attrs, nil
}

// Readlink returns a symbolic link's target.
func (c *Change) Readlink() (string, error) {
	if err := c.reach(); err != nil {
		return "", err
	}
	target, err := readlinkAt(c.entry.dirfd(), c.entry.name)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: c.Path, Err: err}
	}
	return target, nil
}

// Open opens a regular file's content. The caller closes it.
func (c *Change) Open() (*os.File, error) {
	if err := c.reach(); err != nil {
		return nil, err
	}
	f, err := c.view.openContent(c.dir, c.entry)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.Path, err)
	}
	return f, nil
}

// Layer is the place of the layer that the path's own entry lies in, counted from
// the top of the container's uppers and lowers; unset for Deleted.
func (c *Change) Layer() int { return c.entry.layer }

// Link makes a name for a regular file itself in the directory dirfd, on the
// same file system. It is not done, and ok is false, if the file's data lie
// elsewhere, its owner is another to the container, or the file system cannot.
func (c *Change) Link(dirfd int, name string) (ok bool, err error) {
	if c.view.mapOf(c.entry.layer) != nil {
		return false, nil
	}
	if err := c.reach(); err != nil {
		return false, err
	}
	if _, bare, err := c.view.mark(c.entry.path(), "metacopy"); err != nil || bare {
		return false, err
	}
	err = unix.Linkat(c.entry.dirfd(), c.entry.name, dirfd, name, 0)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	default:
		return false, fmt.Errorf("link %s: %w", c.Path, err)
	}
}

// unseenMarks are what overlay keeps on a regular file of an upper and does not
// look for in a lower. Others stand for something, or are escaped attributes.
var unseenMarks = []string{"origin", "nlink", "protattr"}

// Plain reports whether a regular file has no attributes but those that a layer
// carries, as it carries them: then the file itself and a copy of it cannot be
// told apart by them.
func (c *Change) Plain() (bool, error) {
	if err := c.reach(); err != nil {
		return false, err
	}
	f := filePath(c.entry.path())
	names, err := listXattrs(f)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", c.Path, err)
	}
	for _, name := range names {
		if mark, ok := strings.CutPrefix(name, c.view.prefix); ok && slices.Contains(unseenMarks, mark) {
			continue
		}
		if !Carried(name) {
			return false, nil
		}
		if name != xattrCapability {
			continue
		}
		value, err := getXattr(f, name)
		if err != nil {
			return false, fmt.Errorf("read xattr %s of %s: %w", name, c.Path, err)
		}
		if !bytes.Equal(value, PlainCapability(value)) {
			return false, nil
		}
	}
	return true, nil
}

// OpenFile is a regular file that is open for reading.
type OpenFile struct {
	FD    int         // the caller closes it
	Stat  unix.Stat_t // as it was when, or just before, it was opened
	Attrs []Xattr     // those that a layer carries

	mapIDs MapFunc
}

// Now returns what the file is by now.
func (f *OpenFile) Now() (st unix.Stat_t, err error) {
	if err = unix.Fstat(f.FD, &st); err == nil {
		err = mapStat(&st, f.mapIDs)
	}
	return st, err
}

// Content opens a regular file and reads its attributes: what Open and Xattrs
// do, in fewer calls.
func (c *Change) Content() (_ OpenFile, err error) {
	if err := c.reach(); err != nil {
		return OpenFile{}, err
	}
	fd, err := OpenRegular(c.entry.dirfd(), c.entry.name)
	if err != nil {
		return OpenFile{}, fmt.Errorf("open %s: %w", c.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(&fs.PathError{Op: "read", Path: c.Path, Err: err}, unix.Close(fd))
		}
	}()
	content := OpenFile{FD: fd, Stat: c.Stat, mapIDs: c.view.mapOf(c.entry.layer)}
	names, err := listXattrs(openFile(fd))
	if err != nil || len(names) == 0 {
		return content, err
	}
	if content.Attrs, err = carriedOf(openFile(fd), names); err == nil {
		err = mapACLs(content.Attrs, content.mapIDs)
	}
	if err != nil {
		return OpenFile{}, err
	}
	if slices.Contains(names, c.view.prefix+"metacopy") {
		err = c.replace(&content)
	}
	return content, err
}

// replace puts the file's data, which lies in a layer below, in place of what
// has only its metadata.
func (c *Change) replace(content *OpenFile) error {
	data, err := c.view.openBelow(c.dir, c.entry)
	if err != nil {
		return err
	}
	defer data.Close()
	content.mapIDs = nil // it tells the data alone
	if err := unix.Fstat(int(data.Fd()), &content.Stat); err != nil {
		return err
	}
	return unix.Dup3(int(data.Fd()), content.FD, unix.O_CLOEXEC)
}

func readlinkAt(dirfd int, name string) (string, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

// same reports whether a file of v and one of w are alike in all that a layer
// carries. Times are compared to the nanosecond: a copy that overlay made keeps
// them. A program can set them too, so contents are compared even so.
func (v *view) same(ad *dir, a *entry, w *view, bd *dir, b *entry) (bool, error) {
	if !sameStat(&a.stat, &b.stat) {
		return false, nil
	}
	ax, err := v.xattrs(a)
	if err != nil {
		return false, err
	}
	bx, err := w.xattrs(b)
	if err != nil || !sameXattrs(ax, bx) {
		return false, err
	}
	switch a.stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		at, err := readlinkAt(a.dirfd(), a.name)
		if err != nil {
			return false, err
		}
		bt, err := readlinkAt(b.dirfd(), b.name)
		return at == bt, err
	case unix.S_IFREG:
		return v.sameContent(ad, a, w, bd, b)
	}
	return true, nil
}

func sameStat(a, b *unix.Stat_t) bool {
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Mtim != b.Mtim {
		return false
	}
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true
	case unix.S_IFCHR, unix.S_IFBLK:
		return a.Rdev == b.Rdev
	default:
		return a.Size == b.Size
	}
}

// openContent opens a regular file's data. It may lie in a layer below, under
// another name even: overlay can copy up a file's metadata alone (metacopy).
func (v *view) openContent(d *dir, e *entry) (*os.File, error) {
	_, bare, err := v.mark(e.path(), "metacopy")
	if err != nil {
		return nil, err
	}
	if bare {
		return v.openBelow(d, e)
	}
	fd, err := OpenRegular(e.dirfd(), e.name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), e.name), nil
}

func (v *view) openBelow(d *dir, e *entry) (*os.File, error) {
	redirect, _, err := v.redirect(e.path())
	if err != nil {
		return nil, err
	}
	at, name := d.below(e.layer), e.name
	switch {
	case path.IsAbs(redirect):
		if at, err = v.descend(e.layer+1, d.without, path.Dir(redirect)); err != nil {
			return nil, err
		}
		defer at.close()
		name = path.Base(redirect)
	case redirect != "":
		name = redirect
	}
	found, ok, err := v.lookup(at, name)
	if err != nil {
		return nil, err
	}
	if !ok || found.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%w: the data of a file is missing in the layers below", ErrUnsupported)
	}
	return v.openContent(at, &found)
}
