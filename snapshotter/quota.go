package snapshotter

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
)

// ErrNoQuota says that there are no project quotas where a snapshot is. It is
// errdefs' ErrNotImplemented.
var ErrNoQuota = errdefs.ErrNotImplemented.WithMessage("no project quotas")

// A project is what ext4 and XFS count together and limit: the number is on each
// directory, and goes over to what is made in it. The limit, and the count, are
// the file system's own, so they outlast this process. 0 is none.
//
// Moby's package quota does as much for its graph drivers, and does not fit here:
// it keeps a device node where containerd removes what it does not know, leaves
// the limits of what is gone, and never uses a number again.

// firstProject is the lowest number that is given out. Those who count up from 1,
// as administrators and Moby's graph drivers do, come nowhere near.
const firstProject = 0x42 << 24

// NewProject limits what can be written through the mounts of a new active
// snapshot to size bytes on disk, and returns the number of the project that it
// makes for that. If the snapshot is given up, the caller must DropProject it.
func NewProject(mounts []mount.Mount, size int64) (uint32, error) {
	if _, err := writable(mounts); err != nil {
		return 0, err
	}
	var id uint32
	err := withQuota(Home(mounts), func(fd int) (err error) {
		if err := enforced(fd, Home(mounts)); err != nil {
			return err
		}
		// Others may be looking for a number, other daemons too. With a limit it is
		// taken.
		if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
			return &fs.PathError{Op: "lock", Path: Home(mounts), Err: err}
		}
		if id, err = freeProject(fd); err != nil {
			return fmt.Errorf("look for a free project: %w", err)
		}
		return setLimit(fd, id, size)
	})
	if err != nil {
		return 0, err
	}
	if err := JoinProject(mounts, id); err != nil {
		return 0, errors.Join(err, DropProject(Home(mounts), id))
	}
	return id, nil
}

// JoinProject has what is written through the mounts of a new active snapshot
// count for a project.
func JoinProject(mounts []mount.Mount, id uint32) error {
	dirs, err := writable(mounts)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := setProject(dir, id); err != nil {
			return &fs.PathError{Op: fmt.Sprintf("set project %d of", id), Path: dir, Err: err}
		}
	}
	return nil
}

// DropProject removes the limit of a project, on the file system of dir. When the
// last of its files is gone the number is free.
func DropProject(dir string, id uint32) error {
	return withQuota(dir, func(fd int) error { return setLimit(fd, id, 0) })
}

// Home is the folder that the snapshotter keeps the folders of all snapshots in,
// from the mounts of an active one; "" if they do not tell.
func Home(mounts []mount.Mount) string {
	dirs, err := writable(mounts)
	if err != nil {
		return ""
	}
	return filepath.Dir(filepath.Dir(dirs[0]))
}

// writable are the folders that a mount of an active snapshot writes: of an
// overlay the upper and the work directory, which files are moved between.
func writable(mounts []mount.Mount) ([]string, error) {
	if len(mounts) == 1 && mounts[0].Type == "overlay" {
		var upper, work string
		for _, option := range mounts[0].Options {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
				upper = dir
			} else if dir, ok := strings.CutPrefix(option, "workdir="); ok {
				work = dir
			}
		}
		if upper != "" && work != "" {
			return []string{upper, work}, nil
		}
	}
	if len(mounts) == 1 && (mounts[0].Type == "bind" || mounts[0].Type == "rbind") {
		return []string{mounts[0].Source}, nil
	}
	return nil, fmt.Errorf("%w: they need a snapshotter of overlays", ErrNoQuota)
}

// limited reports whether files of a container count for a project. They must
// not get names where they would outlive it.
func limited(c *changes.Container) (bool, error) {
	for _, upper := range c.Uppers {
		id, err := projectOf(upper)
		if err != nil || id != 0 {
			return id != 0, err
		}
	}
	return false, nil
}

// fsxattr is struct fsxattr of linux/fs.h.
type fsxattr struct {
	XFlags, ExtentSize, Extents, Project, CowExtentSize uint32
	_                                                   [8]byte
}

const (
	fsGetXattr  = 0x801c581f // FS_IOC_FSGETXATTR
	fsSetXattr  = 0x401c5820 // FS_IOC_FSSETXATTR
	projInherit = 0x200      // FS_XFLAG_PROJINHERIT
)

func ioctl(fd int, request uintptr, x *fsxattr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(x))); errno != 0 {
		return errno
	}
	return nil
}

func openDir(dir string) (int, error) {
	return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

func setProject(dir string, id uint32) error {
	fd, err := openDir(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var x fsxattr
	if err := ioctl(fd, fsGetXattr, &x); err != nil {
		return err
	}
	x.Project, x.XFlags = id, x.XFlags|projInherit
	return ioctl(fd, fsSetXattr, &x)
}

// projectOf is the project of a directory, 0 also where there are none.
func projectOf(dir string) (uint32, error) {
	fd, err := openDir(dir)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	var x fsxattr
	err = ioctl(fd, fsGetXattr, &x)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	if err != nil {
		return 0, &fs.PathError{Op: "look up the project of", Path: dir, Err: err}
	}
	return x.Project, nil
}
