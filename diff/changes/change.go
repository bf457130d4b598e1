package changes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
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

	view  *tree.View
	old   *tree.View // of what it is told against
	dir   *tree.Dir
	entry *tree.Entry
	at    *place   // the directory that it is in
	in    tree.Way // to the directory that has the entry
	level int      // of it, on the way
	// deeper is by how many names the path is longer than the way to it.
	deeper int
	// through says that the directory may have been told before.
	through bool
	// text takes the place of a regular file's content, if it is not nil.
	text []byte
}

// reach has the directory open that has the entry. A change of a directory may be
// looked at long after the walk has told it.
func (c *Change) reach() error {
	if err := c.in.Ensure(c.level); err != nil {
		return tree.Raced(err)
	}
	return nil
}

// OpenDir has the directory open that has the entry, and returns its descriptor,
// which stays the walk's.
func (c *Change) OpenDir() (int, error) {
	if err := c.reach(); err != nil {
		return -1, err
	}
	return c.entry.DirFD(), nil
}

// Seen is what the container has.
func (c *Change) Seen() *tree.Seen {
	return &tree.Seen{View: c.view, Dir: c.dir, Entry: *c.entry, OK: c.Kind != Deleted}
}

// Before is what the container had before its changes.
func (c *Change) Before() (tree.Seen, error) {
	if err := c.reach(); err != nil {
		return tree.Seen{}, err
	}
	return tree.Look(c.old, c.at.before(), c.entry.Name)
}

// InImage is what the image has under the name.
func (c *Change) InImage() (tree.Seen, error) { return tree.Look(c.old, c.at.image, c.entry.Name) }

// ReadFrom has the file read as it is seen elsewhere, in a directory on a way.
func (c *Change) ReadFrom(s *tree.Seen, in tree.Way, level int) {
	c.view, c.dir, c.entry, c.Stat = s.View, s.Dir, &s.Entry, s.Stat
	c.in, c.level, c.deeper = in, level, 0
}

// OpenTree opens the directory that the change is of, as the container sees it. The
// caller closes it.
func (c *Change) OpenTree() (*tree.Dir, error) {
	if err := c.reach(); err != nil {
		return nil, err
	}
	d, err := c.view.Open(c.dir, *c.entry)
	return d, tree.Raced(err)
}

// Untouched calls visit for each name in the directory that the change is in which the
// image has and the container has left as it is. What is in a directory of such a name
// may have been changed.
func (c *Change) Untouched(visit func(name string) error) error {
	if c.at.image == nil {
		return nil
	}
	names := tree.NewNameReader(c.at.image.FDs(math.MaxInt), nil)
	for {
		some, err := names.Next()
		if err != nil || len(some) == 0 {
			return err
		}
		for _, name := range some {
			e, ok, err := c.view.Lookup(c.dir, name)
			if err != nil {
				return tree.Raced(err)
			}
			if !ok || !c.view.InBase(e.Layer) {
				continue
			}
			if err := visit(name); err != nil {
				return err
			}
		}
	}
}

// Name is the last element of the path; "." for the root.
func (c *Change) Name() string { return c.entry.Name }

// Depth is how many elements the path has; 0 for the root.
func (c *Change) Depth() int {
	if c.Path == "." {
		return 0
	}
	return c.level + 1 + c.deeper
}

// Moved returns the change at another path, which has so many names more, or fewer.
func (c *Change) Moved(path string, length, deeper int) *Change {
	moved := *c
	moved.Path, moved.Length, moved.deeper, moved.through = path, length, deeper, true
	return &moved
}

// Through reports whether a directory may have been told before. If it was, it stays as it
// was told, and only what is in it is told.
func (c *Change) Through() bool { return c.through }

// Shown is the path for people. Of one that no layer can hold it is the beginning,
// with the reason.
func (c *Change) Shown() string {
	if !c.TooLong() {
		return c.Path
	}
	return fmt.Sprintf("%s (a path of %d bytes, of which a layer holds up to %d)", text.Start(c.Path), c.Length, diff.MaxPath-1)
}

// TooLong reports whether a layer could not hold the path.
func (c *Change) TooLong() bool { return c.Length >= diff.MaxPath }

// IsDir reports whether the path is a directory now.
func (c *Change) IsDir() bool { return c.Kind != Deleted && c.entry.IsDir() }

// Type is the file type part of the mode, unix.S_IFREG and so on.
func (c *Change) Type() uint32 { return c.Stat.Mode & unix.S_IFMT }

// Xattrs returns the extended attributes that a layer carries; or more, see
// [Container]'s Whole.
func (c *Change) Xattrs() ([]xattr.Attr, error) {
	if err := c.reach(); err != nil {
		return nil, err
	}
	attrs, err := c.view.Xattrs(c.entry)
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
	target, err := tree.ReadlinkAt(c.entry.DirFD(), c.entry.Name)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: c.Path, Err: err}
	}
	return target, nil
}

// Open opens a regular file's content. The caller closes it.
func (c *Change) Open() (*os.File, error) {
	if c.text != nil {
		fd, err := c.openText()
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), c.entry.Name), nil //nolint:gosec // it is a descriptor
	}
	if err := c.reach(); err != nil {
		return nil, err
	}
	f, err := c.view.OpenContent(c.dir, c.entry)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.Path, err)
	}
	return f, nil
}

// Layer is the place of the layer that the path's own entry lies in, counted from
// the top of the container's uppers and lowers; unset for Deleted.
func (c *Change) Layer() int { return c.entry.Layer }

// Link makes a name for a regular file itself in the directory dirfd, on the
// same file system. It is not done, and ok is false, if the file's data lie
// elsewhere, its owner is another to the container, or the file system cannot.
func (c *Change) Link(dirfd int, name string) (ok bool, err error) {
	if c.view.MapOf(c.entry.Layer) != nil || c.text != nil {
		return false, nil
	}
	if err := c.reach(); err != nil {
		return false, err
	}
	if _, bare, err := c.view.Mark(c.entry.Path(), "metacopy"); err != nil || bare {
		return false, err
	}
	err = unix.Linkat(c.entry.DirFD(), c.entry.Name, dirfd, name, 0)
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
	f := xattr.Path(c.entry.Path())
	names, err := xattr.List(f)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", c.Path, err)
	}
	for _, name := range names {
		if mark, ok := strings.CutPrefix(name, c.view.Prefix); ok && slices.Contains(unseenMarks, mark) {
			continue
		}
		if !xattr.Carried(name) {
			return false, nil
		}
		if name != xattr.Capability {
			continue
		}
		value, err := xattr.Get(f, name)
		if err != nil {
			return false, fmt.Errorf("read xattr %s of %s: %w", name, c.Path, err)
		}
		if !bytes.Equal(value, xattr.PlainCapability(value)) {
			return false, nil
		}
	}
	return true, nil
}
