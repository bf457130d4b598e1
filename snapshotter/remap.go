package snapshotter

import (
	"context"
	"fmt"
	"io/fs"
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
// owners of the copy. The source stays as it is.
func CopyRemapped(ctx context.Context, to, from []mount.Mount, f MapFunc) error {
	return mount.WithTempMount(ctx, from, func(src string) error {
		return mount.WithTempMount(ctx, to, func(dst string) error {
			if err := continuity.CopyDir(dst, src); err != nil {
				return fmt.Errorf("copy tree: %w", err)
			}
			return remapTree(ctx, dst, f)
		})
	})
}

// inode names a file whatever its path.
type inode struct{ dev, ino uint64 }

func remapTree(ctx context.Context, root string, f MapFunc) error {
	// A second name of a file that has been mapped must not map it again.
	done := map[inode]bool{}
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
		if st.Nlink > 1 && !d.IsDir() {
			id := inode{st.Dev, st.Ino}
			if done[id] {
				return nil
			}
			done[id] = true
		}
		return remapFile(path, &st, f)
	})
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
