package snapshotter

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/xattr"
)

// Remap gives every file of a mounted tree the owner that f maps its owner to.
// Modes, file capabilities, access control lists and hard links survive.
func Remap(ctx context.Context, mounts []mount.Mount, f idmap.Func) error {
	return mount.WithTempMount(ctx, mounts, func(root string) error {
		return remapMounted(ctx, root, f)
	})
}

// RemapWritten is Remap for what has been written on an active snapshot that
// nobody has mounted. Where that lies apart, in the upper of an overlay, the rest
// is not looked at.
func RemapWritten(ctx context.Context, mounts []mount.Mount, f idmap.Func) error {
	if upper := changes.WrittenDir(mounts); upper != "" && mounts[0].Type == "overlay" {
		return remapTree(ctx, upper, f)
	}
	return Remap(ctx, mounts, f)
}

// CopyRemapped copies one mounted tree into another, empty one, and maps the
// owners of the copy. The source is mounted read-only, and stays as it is. The copy
// has what a layer would carry, see [Seal], and whole times: who compares it with
// another tree must not take files for changed.
func CopyRemapped(ctx context.Context, to, from []mount.Mount, f idmap.Func) error {
	return mount.WithReadonlyTempMount(ctx, from, func(src string) error {
		return mount.WithTempMount(ctx, to, func(dst string) error {
			// As the changes of a container on nothing.
			tree := &changes.Container{Overlay: changes.Overlay{Uppers: []string{src}}, Reserved: true}
			if _, err := SealWhole(ctx, tree, dst); err != nil {
				return fmt.Errorf("copy tree: %w", err)
			}
			if err := copyRoot(dst, src); err != nil {
				return fmt.Errorf("copy root: %w", err)
			}
			return remapMounted(ctx, dst, f)
		})
	})
}

// copyRoot gives a folder what another one has besides what is in it. A tree does not
// tell that of its root as a change.
func copyRoot(dst, src string) error {
	var st unix.Stat_t
	if err := unix.Lstat(src, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: src, Err: err}
	}
	attrs, err := xattr.ReadCarried(src)
	if err != nil {
		return err
	}
	if err := unix.Lchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return &fs.PathError{Op: "lchown", Path: dst, Err: err}
	}
	if err := unix.Chmod(dst, st.Mode&0o7777); err != nil {
		return &fs.PathError{Op: "chmod", Path: dst, Err: err}
	}
	for _, a := range attrs {
		if err := unix.Lsetxattr(dst, a.Name, a.Value, 0); err != nil {
			return &fs.PathError{Op: "setxattr " + a.Name, Path: dst, Err: err}
		}
	}
	times := wholeTimes(&st)
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, dst, times[:], 0); err != nil {
		return &fs.PathError{Op: "utimensat", Path: dst, Err: err}
	}
	return nil
}

// UnmapUpper gives the files of an upper the owners that they have in a user
// namespace, where they have those that they have outside; any others stay. The
// mapping is one that is [idmap.Map.Disjoint], and nobody has the upper
// mounted. The cost is the number of files in it, which is returned. Nothing is
// synced to disk.
//
// It can be cut short at any instant, and called again. Nothing that a container
// can put into its upper makes it fail: no depth, no attributes, no flags of files.
func UnmapUpper(ctx context.Context, upper string, m idmap.Map) (files int64, err error) {
	r := &remapper{mapIDs: m.Inside, notes: true}
	if err := r.tree(ctx, upper); err != nil {
		return 0, fmt.Errorf("map ids of %s: %w", upper, err)
	}
	return r.files, nil
}
