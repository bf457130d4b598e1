package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
)

func (w *world) Task(context.Context, string) (containerd.Task, error) {
	if w.task == nil {
		return nil, cerrdefs.ErrNotFound
	}
	return w.task, nil
}

// task is one of containerd's that can be asked for its status and deleted.
type task struct {
	containerd.Task
	status  containerd.ProcessStatus
	deleted bool
	delete  error // the answer to a deletion
	stays   bool  // although it is deleted
	failure error // of asking for the status
}

func (t *task) Pid() uint32 { return 42 }

func (t *task) Status(context.Context) (containerd.Status, error) {
	if t.deleted && !t.stays {
		return containerd.Status{}, cerrdefs.ErrNotFound
	}
	return containerd.Status{Status: t.status}, t.failure
}

func (t *task) Delete(context.Context, ...containerd.ProcessDeleteOpts) (*containerd.ExitStatus, error) {
	t.deleted = true
	return containerd.NewExitStatus(128+uint32(syscall.SIGKILL), time.Time{}, nil), t.delete
}

// layer is a container's, of which nothing is asked.
type layer struct{ moby.RWLayer }

// volume has a name, and nothing else is asked of it.
type volume struct {
	moby.Volume
	name string
}

func (v volume) Name() string { return v.name }

// store is the daemon's containers: the world's one.
type store struct{ w *world }

func (s store) Get(of string) *moby.Container {
	if of == id {
		return s.w.c
	}
	return nil
}
func (s store) List() []*moby.Container               { return append([]*moby.Container{s.w.c}, s.w.others...) }
func (s store) Size() int                             { return 1 }
func (s store) ApplyAll(reduce moby.ContainerReducer) { reduce(s.w.c) }
func (s store) Add(string, *moby.Container)           {}
func (s store) Delete(string)                         {}
func (s store) First(filter moby.ContainerFilter) *moby.Container {
	if filter(s.w.c) {
		return s.w.c
	}
	return nil
}

// checkSettled checks what holds after every operation: the record says what the files
// are, nothing that was prepared or mounted is left, volumes are the record's, and nothing
// guards the container.
func (w *world) checkSettled() {
	w.t.Helper()
	if image := w.c.Config.Image; image != w.files || image != w.saved {
		w.t.Errorf("record %s, on disk %s, files %s", image, w.saved, w.files)
	}
	if wanted := w.stateOf(w.files).Config; !slices.Equal(append([]string{w.c.Path}, w.c.Args...), slices.Concat(wanted.Entrypoint, wanted.Cmd)) && w.c.Path != "" {
		w.t.Errorf("the record runs %s %q", w.c.Path, w.c.Args)
	}
	if w.open != 0 || w.mounts != 0 {
		w.t.Errorf("%d prepared moves and %d mounts are left", w.open, w.mounts)
	}
	for name := range w.volumes {
		if w.c.MountPoints[strings.TrimPrefix(name, "volume of ")] == nil {
			w.t.Errorf("%s is left", name)
		}
	}
	if err := w.ops.MayStart(context.Background(), w.c); err != nil {
		w.t.Errorf("the container cannot be started: %v", err)
	}
	w.at = nil
	gone := w.c.State.IsRemovalInProgress()
	err := w.ops.Do(context.Background(), "web", "a test", func(context.Context, *moby.Container) error { return nil })
	if err != nil && !gone {
		w.t.Errorf("the next operation: %v", err)
	}
	if gone && !cerrdefs.IsConflict(err) {
		w.t.Errorf("the next operation on a container that is being removed: %v", err)
	}
}
