package diff

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

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

// reach has the directory open that has the entry. A change of a directory may be
// looked at long after the walk has told it.
func (c *Change) reach() error {
	if err := c.in.ensure(c.level); err != nil {
		return raced(err)
	}
	return nil
}

// openDir has the directory open that has the entry, and returns its descriptor,
// which stays the walk's.
func (c *Change) openDir() (int, error) {
	if err := c.reach(); err != nil {
		return -1, err
	}
	return c.entry.dirfd(), nil
}

// seen is what the container has.
func (c *Change) seen() *seen {
	return &seen{view: c.view, dir: c.dir, entry: *c.entry, ok: c.Kind != Deleted}
}

// before is what the container had before its changes.
func (c *Change) before() (seen, error) {
	if err := c.reach(); err != nil {
		return seen{}, err
	}
	return look(c.view, c.at.before(), c.entry.name)
}

// inImage is what the image has under the name.
func (c *Change) inImage() (seen, error) { return look(c.view, c.at.image, c.entry.name) }

// readFrom has the file read as it is seen elsewhere, in a directory on a way.
func (c *Change) readFrom(s *seen, in way, level int) {
	c.view, c.dir, c.entry, c.Stat = s.view, s.dir, &s.entry, s.stat
	c.in, c.level = in, level
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
	return fmt.Sprintf("%s (a path of %d bytes, of which a layer holds up to %d)", start(c.Path), c.Length, maxPath-1)
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
