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
)

// workers is how many folders are deleted at a time. One does not use a fast
// disk; many would take it from the containers.
const workers = 2

// trash deletes folders in the background.
type trash struct {
	folders string // where the snapshots' folders are
	at      func(step) error

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

// take has a snapshot's folder deleted, if there is one. When it returns the
// folder has no name any more that counts.
func (t *trash) take(id string) error {
	return t.rename(filepath.Join(t.folders, id), id)
}

// takeWork has the work folder of a snapshot deleted, which nobody needs once it
// is committed.
func (t *trash) takeWork(id string) {
	if err := t.rename(filepath.Join(t.folders, id, "work"), id+"-work"); err != nil {
		log.L.WithError(err).Warn("could not put a committed snapshot's work folder away")
	}
}

func (t *trash) rename(path, name string) error {
	to := filepath.Join(t.folders, trashPrefix+name+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	err := os.Rename(path, to)
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
func (t *trash) put(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putLocked(path)
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
		err := t.at(stepDeleting)
		if err == nil {
			err = os.RemoveAll(r.path)
		}
		if err != nil {
			log.L.WithError(err).WithField("path", r.path).Warn("could not delete a removed snapshot's folder")
		}
		t.finish(r, err)
	}
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
