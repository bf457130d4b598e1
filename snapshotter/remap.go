package snapshotter

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// Remap gives every file of a mounted tree the owner that f maps its owner to.
// Modes, file capabilities, access control lists and hard links survive.
func Remap(ctx context.Context, mounts []mount.Mount, f diff.MapFunc) error {
	return mount.WithTempMount(ctx, mounts, func(root string) error {
		return remapTree(ctx, root, f)
	})
}

// RemapWritten is Remap for what has been written on an active snapshot that
// nobody has mounted. Where that lies apart, in the upper of an overlay, the rest
// is not looked at.
func RemapWritten(ctx context.Context, mounts []mount.Mount, f diff.MapFunc) error {
	if len(mounts) == 1 && mounts[0].Type == "overlay" {
		for _, option := range mounts[0].Options {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				return remapTree(ctx, upper, f)
			}
		}
	}
	return Remap(ctx, mounts, f)
}

// CopyRemapped copies one mounted tree into another, empty one, and maps the
// owners of the copy. The source is mounted read-only, and stays as it is.
func CopyRemapped(ctx context.Context, to, from []mount.Mount, f diff.MapFunc) error {
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

// UnmapUpper gives the files of an upper the owners that they have in a user
// namespace, where they have those that they have outside; any others stay. The
// mapping is one that is [diff.IDMap.Disjoint], and nobody has the upper
// mounted. The cost is the number of files in it, which is returned. Nothing is
// synced to disk.
//
// It can be cut short at any instant, and called again.
func UnmapUpper(ctx context.Context, upper string, m diff.IDMap) (files int64, err error) {
	r := newRemapper(m.Inside)
	r.notes = true
	if err := r.tree(ctx, upper); err != nil {
		return 0, fmt.Errorf("map ids of %s: %w", upper, err)
	}
	return r.files, nil
}
