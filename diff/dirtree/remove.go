package dirtree

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/inode"
)

// Remove removes a directory and all that is in it, however deep it is. Nothing
// is removed that is mounted there. It is no error if it is not there, or somebody
// else removes it too.
func Remove(ctx context.Context, root string) error {
	err := RemoveInside(ctx, root)
	if err == nil {
		err = unix.Rmdir(root)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", root, err)
	}
	return nil
}

// RemoveInside removes all that is in a directory.
func RemoveInside(ctx context.Context, root string) error {
	remove := func(e *Entry, flags int) error {
		if e.Name == "." {
			return nil
		}
		if err := unix.Unlinkat(e.Dir, e.Name, flags); err != nil {
			return fmt.Errorf("remove %s: %w", e.Path(), err)
		}
		return nil
	}
	return Tree{Root: root, Gone: true,
		Visit: func(e *Entry) error {
			if e.IsDir() {
				return nil
			}
			return remove(e, 0)
		},
		Leave: func(e *Entry) error { return remove(e, unix.AT_REMOVEDIR) },
	}.Walk(ctx)
}

// Usage is what a tree takes on disk.
type Usage struct {
	Bytes  int64 // of its blocks, holes do not count
	Inodes int64 // files and directories, those of several names once
}

// Measure tells what a tree takes on disk. What goes meanwhile, as in a running
// container, does not count.
func Measure(ctx context.Context, root string) (_ Usage, err error) {
	var usage Usage
	var counted inode.Set // files with several names
	defer func() { err = errors.Join(err, counted.Close()) }()
	err = Tree{Root: root, Gone: true, Visit: func(e *Entry) error {
		if e.Stat.Nlink > 1 && !e.IsDir() {
			if had, err := counted.Add(&e.Stat); had || err != nil {
				return err
			}
		}
		usage.Inodes++
		usage.Bytes += e.Stat.Blocks * 512 // the unit of st_blocks, stat(2)
		return nil
	}}.Walk(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("measure: %w", err)
	}
	return usage, nil
}
