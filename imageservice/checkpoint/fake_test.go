package checkpoint_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
)

const id = "0123456789ab"

var errFault = errors.New("it fails")

// world is a daemon with one container, or none, and has the roles of package
// checkpoint. It notes their calls, and a test can have one fail.
type world struct {
	t *testing.T
	c *moby.Container // of a Maker; that a Restorer has made

	mu         sync.Mutex
	calls      []string
	fail       func(call int, name string) error // nil for no failure
	unrecorded bool                              // the container runs by containerd's record alone
	frozen     int                               // pauses that have not ended
	pauses     int
	toEnd      int      // pauses until the container ends
	kept       int      // calls of KeepPaused that have not ended
	images     []string // names of checkpoints
	options    image.Options
	messages   []api.Progress
	events     []string
	pids       []uint32 // of the container
}

func newWorld(t *testing.T) *world { return &world{t: t} }

// container returns a container that runs, or not.
func (w *world) container(runs bool) *moby.Container {
	c := moby.NewContainer(id, filepath.Join(w.t.TempDir(), id))
	c.Name = "/web"
	c.Config, c.HostConfig = &moby.ContainerConfig{Image: "web"}, &moby.HostConfig{Runtime: moby.StockRuntimeName}
	if runs {
		c.State.SetRunning(nil, fakeTask{w: w, c: c}, time.Now())
	}
	w.c = c
	return c
}

// call notes a call of a role, and returns its failure.
func (w *world) call(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, name)
	if w.fail == nil {
		return nil
	}
	return w.fail(len(w.calls), name)
}

// failNth has the nth call of a role fail.
func (w *world) failNth(n int) {
	w.fail = func(call int, _ string) error {
		if call == n {
			return errFault
		}
		return nil
	}
}

// failAt has all calls of a name fail.
func (w *world) failAt(name string) {
	w.fail = func(_ int, called string) error {
		if called == name {
			return errFault
		}
		return nil
	}
}

func (w *world) emit(p api.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages = append(w.messages, p)
}

// last is the last message.
func (w *world) last() api.Progress {
	if len(w.messages) == 0 {
		return api.Progress{}
	}
	return w.messages[len(w.messages)-1]
}

func (w *world) Do(ctx context.Context, name, operation string, do func(context.Context, *moby.Container) error) error {
	if name != "web" || operation != "a checkpoint" {
		w.t.Errorf("asked for %s of %s", operation, name)
	}
	if err := w.call("Do"); err != nil {
		return err
	}
	return do(ctx, w.c)
}

func (w *world) UnrecordedTask(context.Context, *moby.Container) (containerd.Task, error) {
	if err := w.call("UnrecordedTask"); err != nil || !w.unrecorded {
		return nil, err
	}
	return struct{ containerd.Task }{}, nil
}

// Checkpoint behaves as the image service does: it pauses, dumps, and makes the image
// after that.
func (w *world) Checkpoint(ctx context.Context, _ *moby.Container, o image.Options) (api.Checkpoint, error) {
	w.options = o
	made := api.Checkpoint{ID: "sha256:made", Paused: time.Second}
	thaw := func() {}
	if o.Pause != nil {
		thaw = o.Pause()
	}
	defer thaw()
	if o.Dump != nil {
		if _, err := o.Dump(ctx); err != nil {
			return api.Checkpoint{}, err
		}
	}
	o.Bytes(1, 2)
	if err := w.call("Checkpoint"); err != nil {
		return api.Checkpoint{}, err
	}
	w.images = append(w.images, "")
	return made, nil
}

func (w *world) TagImage(_ context.Context, _ moby.ImageID, name reference.Named) error {
	if err := w.call("TagImage"); err != nil {
		return err
	}
	w.images[len(w.images)-1] = name.String()
	return nil
}

// KeepPaused ends after the container has been thawed.
func (w *world) KeepPaused(ctx context.Context, of string) (context.Context, func(error), error) {
	if err := w.call("KeepPaused"); err != nil {
		return nil, nil, err
	}
	if of != id {
		w.t.Errorf("%s is to be kept paused", of)
	}
	w.kept++
	return ctx, func(error) {
		w.kept--
		if w.frozen > 0 {
			w.t.Error("nothing says any more that the container is frozen, and it is")
		}
	}, nil
}

func (w *world) Spec(context.Context, string) ([]byte, error) {
	return []byte("spec"), w.call("Spec")
}

func (w *world) Pids(context.Context, string) ([]uint32, error) {
	return w.pids, w.call("Pids")
}

func (w *world) Dump(context.Context, string) (ocispec.Descriptor, error) {
	if w.frozen != 1 {
		w.t.Errorf("dumped while %d pauses hold", w.frozen)
	}
	return ocispec.Descriptor{Digest: "sha256:dump"}, w.call("Dump")
}

func (w *world) PlainHostConfig() (*moby.HostConfig, error) {
	return &moby.HostConfig{}, w.call("PlainHostConfig")
}

func (w *world) Freeze(context.Context, *moby.Container) (thaw func()) {
	w.frozen++
	w.pauses++
	return func() { w.frozen-- }
}

func (w *world) FreezeToEnd(ctx context.Context, c *moby.Container) (thaw func()) {
	if w.kept == 0 {
		w.t.Error("frozen to its end, and nothing says so")
	}
	w.toEnd++
	return w.Freeze(ctx, c)
}

func (w *world) Log(c *moby.Container, action moby.EventAction, attributes map[string]string) {
	attributes["container"] = c.ID // as the daemon does
	w.events = append(w.events, string(action))
}

// fakeTask is containerd's task of the container.
type fakeTask struct {
	moby.Task
	w *world
	c *moby.Container
}

func (fakeTask) Pid() uint32 { return 1 }

func (t fakeTask) Kill(_ context.Context, signal syscall.Signal) error {
	if len(t.w.images) != 1 || t.w.frozen != 1 || signal != syscall.SIGKILL {
		t.w.t.Errorf("%v while there are checkpoints %q and %d pauses", signal, t.w.images, t.w.frozen)
	}
	if err := t.w.call("Kill"); err != nil {
		return err
	}
	t.c.State.Lock()
	defer t.c.State.Unlock()
	t.c.State.SetStopped(&moby.ExitStatus{})
	return nil
}

// criuInPath puts a program into the PATH that says it is CRIU of a version; "" for none.
func criuInPath(t *testing.T, version string) {
	t.Helper()
	dir := t.TempDir()
	if version != "" {
		if err := os.WriteFile(filepath.Join(dir, "criu"), []byte("#!/bin/sh\necho Version: "+version+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}
