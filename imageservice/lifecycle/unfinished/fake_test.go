package unfinished_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

const id = "0123456789ab"

var (
	errAway = errors.New("containerd is away")
	image   = digest.FromString("image")
)

// world is a daemon with at most one container, and what containerd and the disk have of
// it. It has the roles of package unfinished. A test can have the nth call of a role
// fail.
type world struct {
	*unfinished.Cleaner
	folder string

	mu         sync.Mutex
	calls      int
	fail       func(call int) error // nil for no failure; runs without mu
	containers map[string]*moby.Container
	layer      bool // of the container
	mounted    bool
	process    bool // containerd has a task of the container
	known      bool // containerd has the container
	record     bool // an image record of an interrupted restore
	removed    chan struct{}
}

func newWorld(t *testing.T) *world {
	w := &world{folder: t.TempDir(), containers: map[string]*moby.Container{}, removed: make(chan struct{})}
	w.Cleaner = &unfinished.Cleaner{Containers: w, Users: w, Layers: layers{w}, Daemon: w, Folder: w.folder}
	return w
}

func (w *world) root() string { return filepath.Join(w.folder, id) }

// add makes a container that the daemon has loaded.
func (w *world) add() *moby.Container {
	c := moby.NewContainer(id, w.root())
	c.Name = "/web"
	c.RWLayer = rwLayer{}
	w.containers[id] = c
	return c
}

// call counts a call of a role, and returns its failure.
func (w *world) call() error {
	w.mu.Lock()
	w.calls++
	n, fail := w.calls, w.fail
	w.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(n)
}

// count is how many calls there have been.
func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

// left is what there is of the container.
func (w *world) left() (what []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, there := range map[string]bool{
		"container": len(w.containers) > 0, "layer": w.layer, "mount": w.mounted, "process": w.process,
		"containerd's container": w.known, "image record": w.record,
	} {
		if there {
			what = append(what, name)
		}
	}
	if _, err := os.Lstat(w.root()); err == nil {
		what = append(what, "folder")
	}
	return what
}

func (w *world) Get(id string) *moby.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.containers[id]
}

func (w *world) List() (all []*moby.Container) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.containers {
		all = append(all, c)
	}
	return all
}

func (w *world) First(accept moby.ContainerFilter) *moby.Container {
	for _, c := range w.List() {
		if accept(c) {
			return c
		}
	}
	return nil
}

func (w *world) LoadTask(_ context.Context, c *moby.Container) error {
	if err := w.call(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known {
		return errdefs.ErrNotFound
	}
	c.State.Lock()
	defer c.State.Unlock()
	var task moby.Task
	if w.process {
		task = fakeTask{w: w}
	}
	started := c.State.StartedAt
	c.State.SetRunning(fakeRuntime{w: w}, task, time.Now())
	c.State.Running, c.State.StartedAt = false, started
	return nil
}

func (w *world) Unmount(*moby.Container) error {
	if err := w.call(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mounted = false
	return nil
}

func (w *world) Remove(c *moby.Container) error { return w.remove(c) }

func (w *world) RemoveUnregistered(c *moby.Container) error { return w.remove(c) }

// remove fails, as the daemon does, while the container is in use.
func (w *world) remove(c *moby.Container) error {
	if err := w.call(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process || w.mounted {
		return errors.New("the root is in use")
	}
	delete(w.containers, c.ID)
	w.layer = false
	err := os.RemoveAll(c.Root)
	close(w.removed)
	return err
}

// layers has the roles that the image service has.
type layers struct{ w *world }

func (layers) StorageDriver() string { return "baleen" }

func (l layers) GetLayerByID(string) (moby.RWLayer, error) {
	if err := l.w.call(); err != nil {
		return nil, err
	}
	if !l.w.layer {
		return nil, errdefs.ErrNotFound
	}
	return rwLayer{}, nil
}

func (l layers) Mounted(string) (bool, error) {
	err := l.w.call()
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.mounted && err == nil, err
}

func (l layers) DropLayer(context.Context, string) error {
	if err := l.w.call(); err != nil {
		return err
	}
	l.w.layer = false
	return nil
}

func (l layers) MendRestores(_ context.Context, used func(digest.Digest) bool) error {
	if err := l.w.call(); err != nil {
		return err
	}
	l.w.record = l.w.record && used(image)
	return nil
}

type rwLayer struct{ moby.RWLayer }

// fakeTask is containerd's task of the container.
type fakeTask struct {
	moby.Task
	w *world
}

func (fakeTask) Pid() uint32 { return 1 }

func (t fakeTask) ForceDelete(context.Context) error {
	if err := t.w.call(); err != nil {
		return err
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.w.process = false
	return nil
}

func (t fakeTask) Status(context.Context) (containerd.Status, error) {
	if err := t.w.call(); err != nil {
		return containerd.Status{}, err
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if !t.w.process {
		return containerd.Status{}, errdefs.ErrNotFound
	}
	return containerd.Status{Status: containerd.Running}, nil
}

// fakeRuntime is containerd's container.
type fakeRuntime struct {
	moby.RuntimeContainer
	w *world
}

func (r fakeRuntime) Delete(context.Context) error {
	if err := r.w.call(); err != nil {
		return err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.known = false
	return nil
}
