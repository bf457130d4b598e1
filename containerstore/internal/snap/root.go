package snap

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/xattr"
)

// ErrUnfitRoot says that the attributes of a root directory cannot be had, or not be
// given to another one: there are too many. The rest has been copied.
var ErrUnfitRoot = errdefs.ErrFailedPrecondition.WithMessage("the container's root directory has extended attributes that cannot be copied; remove some")

// KeepRoot gives the root directory of a new snapshot what that of its parent
// has. Snapshotters make it anew, and only the topmost one counts: a container
// would lose the mode that it gave to its root with every revision. Mounts that
// are no overlay are copies, and have it.
func KeepRoot(mounts []mount.Mount) error {
	o, err := changes.ParseOverlay(mounts, true)
	if errors.Is(err, diff.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	return copyRoot(o.Lowers[0], o.Uppers[0], toHost(o))
}

// copyRoot gives one directory owner, mode and attributes of another. If it fails
// with ErrUnfitRoot that is because of what the container gave to its root.
func copyRoot(from, to string, ids idmap.Func) error {
	var was, is unix.Stat_t
	if err := errors.Join(pathError("stat", from, unix.Lstat(from, &was)), pathError("stat", to, unix.Lstat(to, &is))); err != nil {
		return err
	}
	uid, gid, err := ids.Pair(was.Uid, was.Gid)
	if err != nil {
		return pathError("map owner of", from, err)
	}
	if uid != is.Uid || gid != is.Gid {
		if err := unix.Lchown(to, int(uid), int(gid)); err != nil {
			return pathError("chown", to, err)
		}
	}
	if was.Mode != is.Mode {
		if err := unix.Chmod(to, was.Mode&0o7777); err != nil {
			return pathError("chmod", to, err)
		}
	}
	return copyXattrs(from, to, ids)
}

// toHost maps ids of the layers below an upper to the upper's. A container that
// shares the host's user namespace can write others, which stay.
func toHost(o changes.Overlay) idmap.Func {
	if o.Mapped == 0 {
		return nil
	}
	return o.IDs.Outside
}

func copyXattrs(from, to string, ids idmap.Func) error {
	attrs, err := xattr.ReadCarried(from)
	var unfit error
	if errors.Is(err, unix.E2BIG) {
		size, _ := unix.Llistxattr(from, nil)
		unfit = fmt.Errorf("%w: their names take %d bytes, and the kernel lists %d", ErrUnfitRoot, size, maxXattrList)
		attrs, err = accessLists(from)
	}
	if err != nil {
		return pathError("read attributes of", from, err)
	}
	for _, attr := range attrs {
		value, err := xattr.MapACL(attr, ids)
		if err == nil {
			err = unix.Lsetxattr(to, attr.Name, value, 0)
		}
		switch {
		case err == nil:
		case noRoom(to, err):
			if unfit == nil {
				unfit = fmt.Errorf("%w: there is no room for %q: %w", ErrUnfitRoot, attr.Name, err)
			}
		default:
			return pathError("set attribute "+attr.Name+" of", to, err)
		}
	}
	return unfit
}

// maxXattrList is XATTR_LIST_MAX of linux/limits.h.
const maxXattrList = 64 << 10

// accessLists are the attributes that decide who may enter a directory.
func accessLists(dir string) (attrs []xattr.Attr, _ error) {
	for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(dir, name, value)
		switch {
		case err == nil:
			attrs = append(attrs, xattr.Attr{Name: name, Value: value[:n]})
		case !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP):
			return nil, err
		}
	}
	return attrs, nil
}

// noRoom reports whether an attribute could not be set because a file cannot have
// so many: ext4 says then that the disk is full.
func noRoom(path string, err error) bool {
	var disk unix.Statfs_t
	return errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOSPC) && unix.Statfs(path, &disk) == nil && disk.Bavail > 0
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
