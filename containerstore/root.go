package containerstore

import (
	"errors"
	"io/fs"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// keepRoot gives the root directory of a new snapshot what that of its parent
// has. Snapshotters make it anew, and only the topmost one counts: a container
// would lose the mode that it gave to its root with every revision. Mounts that
// are no overlay are copies, and have it.
func keepRoot(mounts []mount.Mount) error {
	o, err := diff.ParseOverlay(mounts, true)
	if errors.Is(err, diff.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	from, to := o.Lowers[0], o.Uppers[0]
	var was, is unix.Stat_t
	if err := errors.Join(pathError("stat", from, unix.Lstat(from, &was)), pathError("stat", to, unix.Lstat(to, &is))); err != nil {
		return err
	}
	uid, gid, err := toHost(o).Pair(was.Uid, was.Gid)
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
	return keepXattrs(from, to, toHost(o))
}

// toHost maps ids of the layers below an upper to the upper's.
func toHost(o diff.Overlay) diff.MapFunc {
	if o.Mapped == 0 {
		return nil
	}
	return o.IDs.ToHost
}

func keepXattrs(from, to string, ids diff.MapFunc) error {
	attrs, err := diff.CarriedXattrs(from)
	if err != nil {
		return pathError("read attributes of", from, err)
	}
	for _, attr := range attrs {
		value, err := diff.MapACL(attr, ids)
		if err == nil {
			err = unix.Lsetxattr(to, attr.Name, value, 0)
		}
		if err != nil {
			return pathError("set attribute "+attr.Name+" of", to, err)
		}
	}
	return nil
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
