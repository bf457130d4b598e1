package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/diff/dirtree"
)

// workers is how many folders are deleted at a time. One does not use a fast
// disk; many would take it from the containers.
const workers = 2

// trash deletes folders in the background.
type trash struct {
	folders string // where the snapshots' folders are, by a path without links
	at      func(step) error
	ctx     context.Context // of deleting, which no request waits for

	mu      sync.Mutex
	queue   []*refuse
	pending map[*refuse]bool // in the queue, being deleted, or failed
	running int
	closed  bool
	stopped sync.WaitGroup // workers
}

// refuse is a folder to be deleted.
type refuse struct {
	path string
	done chan struct{} // closed after the try
	err  error         // of the try, not to be read before
}

func (t *trash) open(folders string, at func(step) error) (err error) {
	t.at, t.ctx = at, context.Background()
	t.folders, err = filepath.EvalSymlinks(folders)
	return err
}

// take has a snapshot's folder deleted, if there is one. When it returns the
// folder has no name any more that counts.
func (t *trash) take(id string) error {
	return t.rename(id, id)
}

// takeWork has the work folder of a snapshot deleted, which nobody needs once it
// is committed.
func (t *trash) takeWork(id string) {
	if err := t.rename(filepath.Join(id, "work"), id+"-work"); err != nil {
		log.L.WithError(err).Warn("could not put a committed snapshot's work folder away")
	}
}

func (t *trash) rename(from, name string) error {
	to := trashPrefix + name + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	err := os.Rename(filepath.Join(t.folders, from), filepath.Join(t.folders, to))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = t.at(stepTrashed)
	t.put(to)
	return nil
}

// put has a folder deleted whose name nobody will want.
func (t *trash) put(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putLocked(filepath.Join(t.folders, name))
}

func (t *trash) putLocked(path string) {
	if t.closed {
		return
	}
	r := &refuse{path: path, done: make(chan struct{})}
	if t.pending == nil {
		t.pending = map[*refuse]bool{}
	}
	t.pending[r] = true
	t.queue = append(t.queue, r)
	if t.running < workers {
		t.running++
		t.stopped.Add(1)
		go t.work()
	}
}

func (t *trash) work() {
	defer t.stopped.Done()
	for r := t.next(); r != nil; r = t.next() {
		err := t.delete(r.path)
		if err != nil {
			log.L.WithError(err).WithField("path", r.path).Warn("could not delete a removed snapshot's folder")
		}
		t.finish(r, err)
	}
}

// delete never deletes what somebody mounted somewhere in the folder.
func (t *trash) delete(path string) error {
	if err := t.at(stepDeleting); err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(path))
	if err != nil {
		return fmt.Errorf("look for mounts in %s: %w", path, err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("delete %s: %s is mounted on: %w", path, mounts[0].Mountpoint, errdefs.ErrFailedPrecondition)
	}
	return dirtree.Remove(t.ctx, path)
}

func (t *trash) next() *refuse {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.running--
		return nil
	}
	r := t.queue[0]
	t.queue = t.queue[1:]
	return r
}

func (t *trash) finish(r *refuse, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.err = err
	if err == nil {
		delete(t.pending, r)
	}
	close(r.done)
}

// empty returns when all is deleted that is here now. It tries anew what failed.
func (t *trash) empty(ctx context.Context) error {
	var errs []error
	for _, r := range t.retry() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.done:
			errs = append(errs, r.err)
		}
	}
	return errors.Join(errs...)
}

// retry queues what failed again, and returns all that is pending.
func (t *trash) retry() (all []*refuse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var failed []string
	for r := range t.pending {
		select {
		case <-r.done:
			if r.err != nil {
				failed = append(failed, r.path)
				delete(t.pending, r)
			}
		default:
		}
	}
	for _, path := range failed {
		t.putLocked(path)
	}
	for r := range t.pending {
		all = append(all, r)
	}
	return all
}

// close waits for the workers and leaves the queue to the next start.
func (t *trash) close() {
	t.mu.Lock()
	t.closed = true
	for _, r := range t.queue {
		r.err = fmt.Errorf("delete %s: the snapshotter is closed: %w", r.path, errdefs.ErrUnavailable)
		close(r.done)
	}
	t.queue = nil
	t.mu.Unlock()
	t.stopped.Wait()
}
