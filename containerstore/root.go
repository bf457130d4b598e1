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
	if was.Uid != is.Uid || was.Gid != is.Gid {
		if err := unix.Lchown(to, int(was.Uid), int(was.Gid)); err != nil {
			return pathError("chown", to, err)
		}
	}
	if was.Mode != is.Mode {
		if err := unix.Chmod(to, was.Mode&0o7777); err != nil {
			return pathError("chmod", to, err)
		}
	}
	return keepXattrs(from, to)
}

func keepXattrs(from, to string) error {
	attrs, err := diff.CarriedXattrs(from)
	if err != nil {
		return pathError("read attributes of", from, err)
	}
	for _, attr := range attrs {
		if err := unix.Lsetxattr(to, attr.Name, attr.Value, 0); err != nil {
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
