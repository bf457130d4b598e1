package snapshotter

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// MapFunc maps a pair of ids, or fails for one that the mapping does not have.
type MapFunc func(uid, gid int) (int, int, error)

// Remap gives every file of a mounted tree the owner that f maps its owner to.
// Modes, file capabilities and hard links survive.
func Remap(ctx context.Context, mounts []mount.Mount, f MapFunc) error {
	return mount.WithTempMount(ctx, mounts, func(root string) error {
		return remapTree(ctx, root, f)
	})
}

// CopyRemapped copies one mounted tree into another, empty one, and maps the
// owners of the copy. The source is mounted read-only, and stays as it is.
func CopyRemapped(ctx context.Context, to, from []mount.Mount, f MapFunc) error {
	return mount.WithReadonlyTempMount(ctx, from, func(src string) error {
		return mount.WithTempMount(ctx, to, func(dst string) error {
			if err := continuity.CopyDir(dst, src); err != nil {
				return fmt.Errorf("copy tree: %w", err)
			}
			if err := remapTree(ctx, dst, f); err != nil {
				return err
			}
			return copyDirTimes(dst, src)
		})
	})
}

// copyDirTimes gives the directories of a copy the times of the original's.
// CopyDir sets them before it fills the directories.
func copyDirTimes(dst, src string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		return setTimes(filepath.Join(dst, rel), &st)
	})
}

func setTimes(path string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

// inode names a file whatever its path.
type inode struct{ dev, ino uint64 }

// mapped is a file of several names whose owner has been mapped.
type mapped struct {
	path     string
	uid, gid uint32 // before
}

func remapTree(ctx context.Context, root string, f MapFunc) error {
	links := map[inode]mapped{}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		if st.Nlink < 2 || d.IsDir() {
			return remapFile(path, &st, f)
		}
		id := inode{st.Dev, st.Ino}
		first, met := links[id]
		if !met {
			links[id] = mapped{path, st.Uid, st.Gid}
			return remapFile(path, &st, f)
		}
		if st.Uid != first.uid || st.Gid != first.gid {
			return nil // one file still, which has been mapped
		}
		return relink(path, first.path)
	})
}

// relink makes path a name of the file that first is. Where the tree is an
// overlay, mapping the first name copied the file up, and left the other names
// to the file below.
func relink(path, first string) error {
	var a, b, dir unix.Stat_t
	if err := unix.Lstat(path, &a); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if err := unix.Lstat(first, &b); err != nil {
		return &fs.PathError{Op: "lstat", Path: first, Err: err}
	}
	if a.Uid == b.Uid && a.Gid == b.Gid {
		return nil // the mapping left the owner as it was
	}
	parent := filepath.Dir(path)
	if err := unix.Lstat(parent, &dir); err != nil {
		return &fs.PathError{Op: "lstat", Path: parent, Err: err}
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := os.Link(first, path); err != nil {
		return err
	}
	return setTimes(parent, &dir)
}

func remapFile(path string, st *unix.Stat_t, f MapFunc) error {
	uid, gid, err := f(int(st.Uid), int(st.Gid))
	if err != nil {
		return fmt.Errorf("map owner of %s: %w", path, err)
	}
	if uint32(uid) == st.Uid && uint32(gid) == st.Gid {
		return nil
	}
	regular := st.Mode&unix.S_IFMT == unix.S_IFREG
	var caps []byte
	if regular {
		if caps, err = capabilities(path); err != nil {
			return err
		}
	}
	if err := unix.Lchown(path, uid, gid); err != nil {
		return &fs.PathError{Op: "lchown", Path: path, Err: err}
	}
	if !regular {
		return nil
	}
	// The kernel takes setuid, setgid and capabilities from a regular file
	// that changes its owner.
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		if err := unix.Chmod(path, st.Mode&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	if caps == nil {
		return nil
	}
	if err := unix.Lsetxattr(path, capabilityXattr, caps, 0); err != nil {
		return &fs.PathError{Op: "setxattr " + capabilityXattr, Path: path, Err: err}
	}
	return nil
}

// The layout of security.capability is that of the kernel's
// uapi/linux/capability.h: the revision is the top byte of the first,
// little-endian word; revision 3 is revision 2 and the root's id behind it.
const (
	capabilityXattr    = "security.capability"
	capabilitySize2    = 20
	capabilitySize3    = 24
	capabilityRevision = 3 // index of the byte
)

// capabilities returns a file's capabilities in the form that knows no
// namespace, revision 2, or nil if it has none. The form with a root id would
// tie the file to one mapping.
func capabilities(path string) ([]byte, error) {
	buf := make([]byte, capabilitySize3)
	n, err := unix.Lgetxattr(path, capabilityXattr, buf)
	switch {
	case err == unix.ENODATA, err == unix.ENOTSUP:
		return nil, nil
	case err != nil:
		return nil, &fs.PathError{Op: "getxattr " + capabilityXattr, Path: path, Err: err}
	}
	if n == capabilitySize3 && buf[capabilityRevision] == 3 {
		buf[capabilityRevision] = 2
		n = capabilitySize2
	}
	return buf[:n], nil
}
