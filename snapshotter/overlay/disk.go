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

	"github.com/baleen-project/baleen/snapshotter"
)

// disk syncs the file system of the snapshots.
type disk struct {
	// folders is the directory of the snapshots' folders. It is opened before
	// any of them is written: a file tells of errors that happened since then.
	folders *os.File
	syncs   group[chan<- error]
	syncfs  func(fd int) error
	// syncEach syncs one file after the other; nil if that is never to be done.
	syncEach func(ctx context.Context, upper string, changes int64) error
	callers  atomic.Int32 // of sync

	newest  atomic.Uint64 // id that was ever seen
	suspect atomic.Uint64 // snapshots up to this id may have lost data
}

func (d *disk) open(folders string) (err error) {
	d.syncs.run = d.syncAll
	if d.syncfs == nil {
		d.syncfs, d.syncEach = unix.Syncfs, syncEach
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

// few is up to how many inodes of a snapshot are synced one by one.
const few = 8

// sync returns when all that was written into a snapshot before the call is on
// disk. It is an error if that is not certain.
//
// To sync the file system is the least work for many files, and for many callers,
// who share it. But it waits for whatever else was written by anybody. So who
// has few files and is alone syncs just them.
func (d *disk) sync(ctx context.Context, id, upper string, inodes int64) error {
	var (
		alone  = d.callers.Add(1) == 1
		synced bool
		err    error
	)
	defer d.callers.Add(-1)
	if alone && inodes <= few && d.syncEach != nil {
		synced, err = d.syncFew(ctx, upper, inodes)
	}
	if !synced && err == nil {
		err = d.share(ctx)
	}
	if err != nil {
		return err
	}
	if number(id) <= d.suspect.Load() {
		return fmt.Errorf("an earlier sync failed, and what was not on disk then may be lost: %w", errdefs.ErrDataLoss)
	}
	return nil
}

// syncFew does not sync, without an error, if a file cannot even be opened: one
// that somebody else has just removed.
func (d *disk) syncFew(ctx context.Context, upper string, inodes int64) (synced bool, err error) {
	err = d.syncEach(ctx, upper, inodes)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT): // see fsync(2)
		d.failed(err)
		return false, err
	}
	return false, nil
}

func syncEach(ctx context.Context, upper string, _ int64) error {
	return snapshotter.SyncEach(ctx, upper)
}

// share waits for a sync of the file system that begins after the call.
func (d *disk) share(ctx context.Context) error {
	done := make(chan error, 1)
	d.syncs.add(done)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

// failed notes that data may be lost. Whose it was is not told, and the next
// sync would succeed.
func (d *disk) failed(err error) {
	d.suspect.Store(d.newest.Load())
	log.L.WithError(err).Error("snapshots that are active now cannot be committed any more")
}

func (d *disk) syncAll(waiting []chan<- error) {
	err := d.control(d.syncfs)
	if err != nil {
		err = fmt.Errorf("sync file system of %s: %w", d.folders.Name(), err)
		d.failed(err)
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
