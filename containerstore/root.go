package containerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

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
	size, err := unix.Llistxattr(from, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil
	}
	names := make([]byte, max(size, 0))
	if err == nil {
		size, err = unix.Llistxattr(from, names)
	}
	if err != nil {
		return pathError("list attributes of", from, err)
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:size]), "\x00"), "\x00") {
		if !diff.Carried(name) {
			continue
		}
		value := make([]byte, 64<<10) // the most that there is
		n, err := unix.Lgetxattr(from, name, value)
		if err == nil {
			err = unix.Lsetxattr(to, name, value[:n], 0)
		}
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, pathError("copy to", to, err))
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
