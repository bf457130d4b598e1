package apply

import (
	"archive/tar"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// describe gives a file the owner, mode and attributes that an entry says. The
// order matters: a new owner takes setuid bits and capabilities away.
func (a *applier) describe(at folder, name string, hdr *tar.Header) error {
	if err := chown(at, name, hdr); err != nil {
		return err
	}
	if hdr.Typeflag != tar.TypeSymlink {
		if err := unix.Fchmodat(at.fd, name, uint32(hdr.Mode&0o7777), 0); err != nil {
			return fmt.Errorf("set mode: %w", err)
		}
	}
	return a.setXattrs(at, name, hdr)
}

func chown(at folder, name string, hdr *tar.Header) error {
	const maxID = 1<<32 - 2 // -1 means "leave it"
	if hdr.Uid < 0 || hdr.Gid < 0 || uint64(hdr.Uid) > maxID || uint64(hdr.Gid) > maxID {
		return invalid("owner %d:%d", hdr.Uid, hdr.Gid)
	}
	if err := unix.Fchownat(at.fd, name, hdr.Uid, hdr.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set owner %d:%d: %w", hdr.Uid, hdr.Gid, err)
	}
	return nil
}

// setXattrs sets what an entry carries of what layers carry, see [xattr.Carried].
func (a *applier) setXattrs(at folder, name string, hdr *tar.Header) error {
	for key, value := range hdr.PAXRecords {
		attr, ok := strings.CutPrefix(key, diff.PAXXattr)
		if !ok {
			continue
		}
		if !xattr.Carried(attr) {
			log.G(a.ctx).WithField("name", at.join(name)).Debugf("left out attribute %.300q, which layers do not carry", attr)
			continue
		}
		if len(attr) > xattr.MaxName || len(value) > xattr.MaxValue {
			return invalid("attribute %.300q of %d bytes: a name has at most %d bytes, a value %d", attr, len(value), xattr.MaxName, xattr.MaxValue)
		}
		err := unix.Lsetxattr(tree.ProcPath(at.fd, name), attr, []byte(value), 0)
		// Only regular files and directories can have attributes of the user.
		plain := hdr.Typeflag == tar.TypeReg || hdr.Typeflag == tar.TypeDir
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM) && !plain && strings.HasPrefix(attr, "user."):
			log.G(a.ctx).WithError(err).WithField("name", at.join(name)).Debugf("left out attribute %s", attr)
		default:
			return fmt.Errorf("set xattr %s of %d bytes: %w", attr, len(value), noRoom(err))
		}
	}
	return nil
}

// noRoom explains that attributes do not fit: some file systems have a block for all
// that a file has.
func noRoom(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("the disk is full, or its file system has no room for so many attributes of one file: %w", err)
	}
	return err
}

// amend gives a file that has got another name what the entry for that name
// says, if it differs: setting the owner anew would cost it its capabilities.
func (a *applier) amend(at folder, name string, hdr *tar.Header) error {
	var st unix.Stat_t
	if err := unix.Fstatat(at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	owner := uint64(st.Uid) == uint64(hdr.Uid) && uint64(st.Gid) == uint64(hdr.Gid)
	if !owner {
		if err := chown(at, name, hdr); err != nil {
			return err
		}
	}
	if mode := uint32(hdr.Mode & 0o7777); !link && (!owner || st.Mode&0o7777 != mode) {
		if err := unix.Fchmodat(at.fd, name, mode, 0); err != nil {
			return fmt.Errorf("set mode: %w", err)
		}
	}
	if err := a.setXattrs(at, name, hdr); err != nil {
		return err
	}
	times := timesOf(hdr)
	if err := unix.UtimesNanoAt(at.fd, name, times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

// hasDefaultACL reports whether what is made in a directory inherits an access
// control list.
func hasDefaultACL(dir int) (bool, error) {
	_, err := xattr.Get(xattr.Path(tree.ProcPath(dir, ".")), xattr.DefaultACL)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return false, nil
	}
	return false, fmt.Errorf("read xattr %s: %w", xattr.DefaultACL, err)
}

// disinherit takes from a new file what it got from its directory: the layer
// says all that it has.
func (a *applier) disinherit(at folder, name string, dir bool) error {
	if !at.defaults {
		return nil
	}
	attrs := []string{xattr.AccessACL}
	if dir {
		attrs = append(attrs, xattr.DefaultACL)
	}
	for _, attr := range attrs {
		err := unix.Lremovexattr(tree.ProcPath(at.fd, name), attr)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("remove xattr %s: %w", attr, err)
		}
	}
	return nil
}

// dropXattrs takes from a directory that is there already what its entry does
// not tell any more.
func dropXattrs(at folder, name string, hdr *tar.Header) error {
	path := tree.ProcPath(at.fd, name)
	attrs, err := xattr.List(xattr.Path(path))
	if err != nil {
		return err
	}
	for _, attr := range attrs {
		if _, stays := hdr.PAXRecords[diff.PAXXattr+attr]; stays || !xattr.Carried(attr) {
			continue
		}
		if err := unix.Lremovexattr(path, attr); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove xattr %s: %w", attr, err)
		}
	}
	return nil
}
