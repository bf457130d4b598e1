package snapshotter

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/xattr"
)

// root gives the root what the container's has, but for the time, which stays
// that of the snapshot.
func (s *sealer) root(c *changes.Change) (err error) {
	s.rooted = true
	s.stack[0].gid = c.Stat.Gid
	attrs, err := c.Xattrs()
	if err != nil {
		return err
	}
	if err := removeOthers(s.stack[0].fd, attrs); err != nil {
		return fmt.Errorf("seal %s: %w", c.Shown(), err)
	}
	s.stack[0].defaultACL, err = describe(c, s.stack[0].fd, ".")
	return err
}

// removeOthers removes the attributes that a root has from the one below it, and the
// container's has no more.
func removeOthers(root int, kept []xattr.Attr) error {
	names, err := xattr.List(xattr.FD(root))
	if err != nil {
		return err
	}
	for _, name := range names {
		is := func(a xattr.Attr) bool { return a.Name == name }
		if !xattr.Carried(name) || slices.ContainsFunc(kept, is) {
			continue
		}
		if err := unix.Fremovexattr(root, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove xattr %s: %w", name, err)
		}
	}
	return nil
}

// takeDefaultACL puts the list aside that a directory has already, as the root may have one
// from the folder that it was made in, until all in it is sealed: what is made meanwhile
// would get it, and another mode than it was made with.
func (d *sealDir) takeDefaultACL() error {
	value := make([]byte, 64<<10)
	n, err := unix.Fgetxattr(d.fd, defaultACL, value)
	switch {
	case err == nil:
		d.defaultACL = value[:n]
		err = unix.Fremovexattr(d.fd, defaultACL)
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil
	}
	if err != nil {
		return fmt.Errorf("take away %s: %w", defaultACL, err)
	}
	return nil
}
