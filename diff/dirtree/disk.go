package dirtree

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Disk is the file system that a folder is on. It is opened before anything is
// written that it is to put on disk.
//
// When a file system loses data that have been written, because the device fails or
// is full, it tells so by an error of syncfs(2), and to each open file once. A file
// that is opened later does not hear of it if any other has, and others sync file
// systems all the time.
type Disk struct{ folder *os.File }

// OpenDisk opens the file system of a folder. The caller closes it.
func OpenDisk(folder string) (*Disk, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("open file system: %w", err)
	}
	return &Disk{f}, nil
}

// Sync puts all on disk that has been written to the file system. It fails if the
// file system has lost anything since the disk was opened, or synced before.
func (d *Disk) Sync() error {
	if err := unix.Syncfs(int(d.folder.Fd())); err != nil {
		return fmt.Errorf("sync file system of %s: %w", d.folder.Name(), err)
	}
	return nil
}

// Close lets the file system go; an unmount of it would fail before.
func (d *Disk) Close() error { return d.folder.Close() }
