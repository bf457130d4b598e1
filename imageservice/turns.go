package imageservice

import (
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
)

// turns keeps operations on the revisions of one container apart, and those
// who look up its snapshots from the moment in which it has none.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

// turn is that of one container. It is locked for reading while the container's
// snapshots are looked up, or its root mounted, and for writing while the active
// one is replaced.
type turn struct {
	sync.RWMutex
	busy    bool
	readers int // of its files, which must not be removed meanwhile
	mounts  mountCount
}

// mountCount is how many users the mounted root of a container has by this service's
// count, and how many there ever were. Users of an earlier daemon are not counted.
type mountCount struct{ now, ever int }

func (t *turns) get(id string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.locked(id)
}

func (t *turns) locked(id string) *turn {
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	if t.of[id] == nil {
		t.of[id] = &turn{}
	}
	return t.of[id]
}

// take begins an operation that changes revisions; end may be called again.
func (t *turns) take(id string) (end func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.locked(id)
	if of.busy {
		return nil, fmt.Errorf("another snapshot, upgrade, rollback or prune of it is under way: %w", errdefs.ErrConflict)
	}
	of.busy = true
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		of.busy = false
	}), nil
}

// read begins to read the files of a container, which may move meanwhile.
func (t *turns) read(id string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.locked(id)
	of.readers++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		of.readers--
	}
}

// reading counts those who read the files of a container.
func (t *turns) reading(id string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.locked(id).readers
}

// mount counts one more user of the root of a container.
func (t *turns) mount(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.locked(id).mounts
	m.now, m.ever = m.now+1, m.ever+1
}

// unmount counts one less.
func (t *turns) unmount(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.locked(id).mounts
	m.now = max(0, m.now-1)
}

// mounts returns how often the root of a container is mounted.
func (t *turns) mounts(id string) mountCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.of[id]; of != nil {
		return of.mounts
	}
	return mountCount{}
}

// forget is for a container that is gone.
func (t *turns) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.of[id]; of != nil && !of.busy && of.readers == 0 {
		delete(t.of, id)
	}
}
