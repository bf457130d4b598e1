package lifecycle_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
)

func TestRemovalEndsWork(t *testing.T) {
	w := newWorld(t, true)
	ctx, _, end, err := w.ops.Begin(t.Context(), "web", "a snapshot")
	if err != nil {
		t.Fatal(err)
	}
	wantConflict(t, w.ops.EndWork(t.Context(), w.c, false), "a snapshot is under way: wait for it, or force remove")
	if ctx.Err() != nil {
		t.Error("the operation is called off without force")
	}
	w.at = w.failing("kill", 1)
	if err := w.ops.EndWork(t.Context(), w.c, true); !errors.Is(err, errFault) {
		t.Errorf("a container that cannot be killed: %v", err)
	}
	go func() { // the first try has called it off: it would end before the second one kills
		for w.c.State.IsRunning() {
			runtime.Gosched()
		}
		end()
	}()
	if err := w.ops.EndWork(t.Context(), w.c, true); err != nil || w.c.State.IsRunning() {
		t.Errorf("by force: %v, running %v", err, w.c.State.IsRunning())
	}
	if err := w.ops.Do(t.Context(), "web", "a snapshot", func(context.Context, *moby.Container) error { return nil }); err != nil {
		t.Errorf("the operation has not ended: %v", err)
	}
}

func TestRemovalEndsUnrecordedProcesses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		task    *task
		runs    bool // by the daemon's record
		force   bool
		err     string
		deleted bool
	}{
		{name: "none"},
		{name: "stopped", task: &task{status: containerd.Stopped}},
		{name: "recorded", task: &task{status: containerd.Running}, runs: true},
		{name: "running", task: &task{status: containerd.Running}, err: "runs: containerd has a task of it, process 42"},
		{name: "created", task: &task{status: containerd.Created}, err: "process 42"},
		{name: "running, by force", task: &task{status: containerd.Running}, force: true, deleted: true},
		{name: "created, by force", task: &task{status: containerd.Created}, force: true, deleted: true},
		{name: "deleted by somebody else", task: &task{status: containerd.Running, delete: cerrdefs.ErrNotFound, stays: true}, force: true, deleted: true},
		{name: "fails, and is gone", task: &task{status: containerd.Running, delete: errFault}, force: true, deleted: true},
		{name: "fails, and stays", task: &task{status: containerd.Running, delete: errFault, stays: true}, force: true, deleted: true, err: "it fails"},
		{name: "unknown", task: &task{failure: cerrdefs.ErrUnavailable}, force: true, err: "look for containerd's task of container web"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, tc.runs)
			w.task = tc.task
			err := w.ops.EndWork(t.Context(), w.c, tc.force)
			switch {
			case tc.err == "" && err != nil, tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("error %v, want %q", err, tc.err)
			case tc.err != "" && !tc.force && !cerrdefs.IsConflict(err):
				t.Errorf("error %v, want a conflict", err)
			}
			if tc.task != nil && tc.task.deleted != tc.deleted {
				t.Errorf("deleted: %v", tc.task.deleted)
			}
		})
	}
}

func TestUnrecordedTask(t *testing.T) {
	for status, want := range map[containerd.ProcessStatus]bool{
		containerd.Running: true, containerd.Paused: true, containerd.Created: false, containerd.Stopped: false,
	} {
		w := newWorld(t, false)
		w.task = &task{status: status}
		found, err := w.ops.UnrecordedTask(t.Context(), w.c)
		if err != nil || (found != nil) != want {
			t.Errorf("%s: %v, %v", status, found, err)
		}
		w.c.State.Running = true
		if found, err := w.ops.UnrecordedTask(t.Context(), w.c); err != nil || found != nil {
			t.Errorf("%s, recorded: %v, %v", status, found, err)
		}
	}
}
