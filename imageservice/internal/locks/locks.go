package locks

import (
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
)

// Containers are the locks of all containers, by their full ids. The zero value has none.
type Containers struct {
	mu sync.Mutex
	of map[string]*Container
}

// Container is the lock of one container. It is locked for reading while the container's
// snapshots are looked up, or its root mounted, and for writing while the active
// one is replaced.
type Container struct {
	sync.RWMutex
	busy    bool
	readers int // of its files, which must not be removed meanwhile
	mounts  Mounts
}

// Mounts is how many users the mounted root of a container has by this daemon's count,
// and how many there ever were. Users of an earlier daemon are not counted.
type Mounts struct{ Now, Ever int }

// Of returns the lock of a container.
func (c *Containers) Of(id string) *Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.locked(id)
}

func (c *Containers) locked(id string) *Container {
	if c.of == nil {
		c.of = map[string]*Container{}
	}
	if c.of[id] == nil {
		c.of[id] = &Container{}
	}
	return c.of[id]
}

// Take begins an operation that changes revisions. A second one is errdefs.ErrConflict.
// end may be called again.
func (c *Containers) Take(id string) (end func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.locked(id)
	if of.busy {
		return nil, fmt.Errorf("another snapshot, upgrade, rollback or prune of it is under way: %w", errdefs.ErrConflict)
	}
	of.busy = true
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		of.busy = false
	}), nil
}

// Read begins to read the files of a container, which may move meanwhile.
func (c *Containers) Read(id string) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.locked(id)
	of.readers++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		of.readers--
	}
}

// Readers counts those who read the files of a container.
func (c *Containers) Readers(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.locked(id).readers
}

// Mount counts one more user of the root of a container.
func (c *Containers) Mount(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.locked(id).mounts
	m.Now, m.Ever = m.Now+1, m.Ever+1
}

// Unmount counts one less.
func (c *Containers) Unmount(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.locked(id).mounts
	m.Now = max(0, m.Now-1)
}

// Mounts returns how often the root of a container is mounted.
func (c *Containers) Mounts(id string) Mounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.of[id]; of != nil {
		return of.mounts
	}
	return Mounts{}
}

// Forget is for a container that is gone.
func (c *Containers) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.of[id]; of != nil && !of.busy && of.readers == 0 {
		delete(c.of, id)
	}
}
