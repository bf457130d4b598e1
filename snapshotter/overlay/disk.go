package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// disk syncs the file system of the snapshots.
type disk struct {
	// folders is the directory of the snapshots' folders. It is opened before
	// any of them is written: a file tells of errors that happened since then.
	folders *os.File
	syncs   group[chan<- error]
	syncfs  func(fd int) error

	newest  atomic.Uint64 // id that was ever seen
	suspect atomic.Uint64 // snapshots up to this id may have lost data
}

func (d *disk) open(folders string) (err error) {
	d.syncs.run = d.syncAll
	if d.syncfs == nil {
		d.syncfs = unix.Syncfs
	}
	d.folders, err = os.Open(folders)
	return err
}

func (d *disk) close() error {
	if d.folders == nil {
		return nil
	}
	if err := d.folders.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// saw notes that a snapshot exists.
func (d *disk) saw(id string) {
	n := number(id)
	for old := d.newest.Load(); n > old && !d.newest.CompareAndSwap(old, n); old = d.newest.Load() {
	}
}

// sync returns when all that was written before the call is on disk. It is an
// error if that is not certain of the snapshot.
func (d *disk) sync(ctx context.Context, id string) error {
	done := make(chan error, 1)
	d.syncs.add(done)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		if err != nil {
			return err
		}
	}
	if number(id) <= d.suspect.Load() {
		return fmt.Errorf("an earlier sync failed, and what was not on disk then may be lost: %w", errdefs.ErrDataLoss)
	}
	return nil
}

func (d *disk) syncAll(waiting []chan<- error) {
	err := d.control(d.syncfs)
	if err != nil {
		err = fmt.Errorf("sync file system of %s: %w", d.folders.Name(), err)
		// Whose data it was is not told, and the next sync would succeed.
		d.suspect.Store(d.newest.Load())
		log.L.WithError(err).Error("snapshots that are active now cannot be committed any more")
	}
	for _, done := range waiting {
		done <- err
	}
}

// syncFolders puts the names of all folders on disk.
func (d *disk) syncFolders() error {
	if err := d.folders.Sync(); err != nil {
		return fmt.Errorf("sync names in %s: %w", d.folders.Name(), err)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// control keeps the file open for as long as f runs.
func (d *disk) control(f func(fd int) error) error {
	raw, err := d.folders.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return err
	}
	return result
}

func isID(name string) bool {
	n := number(name)
	return n > 0 && name == strconv.FormatUint(n, 10)
}

// number of an id as the storage package gives them; 0 of other text.
func number(id string) uint64 {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
