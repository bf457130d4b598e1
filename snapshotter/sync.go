package snapshotter

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// syncEach is up to how many changes are synced one by one: each is a write of
// the file system's journal. With more it is cheaper to sync the whole file
// system, although that waits for whatever else was written to it. On ext4, 16
// files of 60 kB took 8 ms one by one, and 1.5 ms together.
const syncEach = 8

// Sync puts a sealed upper on disk: contents, names and all. Only after that
// may a snapshotter's metadata call it committed, or a power cut leaves a
// snapshot that counts as whole and is not.
func Sync(ctx context.Context, upper string, stats SealStats) error {
	if stats.Changes > syncEach {
		return SyncFileSystem(upper)
	}
	return filepath.WalkDir(upper, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// Names and metadata of all else are their directory's, or go along
		// with it.
		if !d.IsDir() && !d.Type().IsRegular() {
			return nil
		}
		return SyncFile(path)
	})
}

// SyncFile puts a file on disk, or the names in a folder.
func SyncFile(path string) error {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// SyncFileSystem puts on disk all that was written to the file system of path.
func SyncFileSystem(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync file system of %s: %w", path, err)
	}
	return nil
}
