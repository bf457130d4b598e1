package freeze_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/freeze"
)

func wantCalls(t *testing.T, w *world, want ...string) {
	t.Helper()
	if got := w.called(); !slices.Equal(got, want) {
		t.Errorf("calls were %q, want %q", got, want)
	}
}

// The record does not show a freeze, events do.
func TestFreezeIsNoPause(t *testing.T) {
	w := newWorld(t)
	thaw := w.f.Freeze(t.Context(), w.c)
	if !w.frozen(t) {
		t.Error("it is not frozen")
	}
	if w.c.State.Paused {
		t.Error("the record calls it paused")
	}
	wantCalls(t, w, "event pause")
	thaw()
	wantCalls(t, w, "event pause", "event unpause")
}

// What a frozen container cannot do waits, each for the thaw, whose end needs no lock
// of the container: whoever waits may hold it.
func TestTasksWaitForTheThaw(t *testing.T) {
	for name, ask := range map[string]func(context.Context, moby.Task) error{
		"pause":      func(ctx context.Context, task moby.Task) error { return task.Pause(ctx) },
		"resume":     func(ctx context.Context, task moby.Task) error { return task.Resume(ctx) },
		"delete":     func(ctx context.Context, task moby.Task) error { return task.ForceDelete(ctx) },
		"update":     func(ctx context.Context, task moby.Task) error { return task.UpdateResources(ctx, nil) },
		"checkpoint": func(ctx context.Context, task moby.Task) error { return task.CreateCheckpoint(ctx, "", false) },
		"exec": func(ctx context.Context, task moby.Task) error {
			_, err := task.Exec(ctx, "x", nil, false, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			task, err := w.c.GetRunningTask()
			if err != nil {
				t.Fatal(err)
			}
			thaw := w.f.Freeze(t.Context(), w.c)
			done := make(chan error, 1)
			locked := make(chan struct{})
			go func() {
				w.c.State.Lock() // as docker pause has it
				defer w.c.State.Unlock()
				close(locked)
				done <- ask(t.Context(), task)
			}()
			<-locked
			select {
			case err := <-done:
				t.Errorf("it did not wait: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			wantCalls(t, w, "event pause")
			thaw()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := w.called(); !slices.Contains(got, "task "+name) {
				t.Errorf("calls were %q", got)
			}
		})
	}
}

func TestTasksThatCanGoOn(t *testing.T) {
	w := newWorld(t)
	task, err := w.c.GetRunningTask()
	if err != nil {
		t.Fatal(err)
	}
	thaw := w.f.Freeze(t.Context(), w.c)
	defer thaw()
	if _, err := task.Pids(t.Context()); err != nil {
		t.Error(err)
	}
	wantCalls(t, w, "event pause", "task pids")
}

// A freeze waits for what is under way, but not for ever.
func TestFreezeOfABusyContainer(t *testing.T) {
	w := newWorld(t)
	asked, end := make(chan struct{}), make(chan struct{})
	busy := &busyTask{task: task{w: w}, asked: asked, end: end}
	loaded, err := w.f.Client(busyClient{client{w: w}, busy}).LoadContainer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := loaded.Task(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wrapped.CreateCheckpoint(t.Context(), "", false) }()
	<-asked
	frozen := make(chan func())
	go func() { frozen <- w.f.Freeze(t.Context(), w.c) }()
	select {
	case thaw := <-frozen:
		t.Error("it did not wait")
		thaw()
	case <-time.After(20 * time.Millisecond):
		close(end)
		thaw := <-frozen
		if !w.frozen(t) {
			t.Error("it is not frozen afterwards")
		}
		thaw()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type busyClient struct {
	client
	task *busyTask
}

func (c busyClient) LoadContainer(context.Context, string) (moby.RuntimeContainer, error) {
	return busyRuntime{runtime{w: c.w}, c.task}, nil
}

type busyRuntime struct {
	runtime
	task *busyTask
}

func (r busyRuntime) Task(context.Context) (moby.Task, error) { return r.task, nil }

type busyTask struct {
	task
	asked, end chan struct{}
}

func (b *busyTask) CreateCheckpoint(context.Context, string, bool) error {
	close(b.asked)
	<-b.end
	return nil
}

func TestAwaitThaw(t *testing.T) {
	w := newWorld(t)
	for name, await := range map[string]func(*moby.Container){"thaw": w.f.AwaitThaw, "pause": w.f.AwaitPause} {
		await(w.c) // at once
		thaw := w.f.Freeze(t.Context(), w.c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			await(w.c)
		}()
		select {
		case <-done:
			t.Errorf("%s: it did not wait", name)
		case <-time.After(20 * time.Millisecond):
		}
		if !w.c.State.TryLock() {
			t.Errorf("%s: it waits with the container locked", name)
		} else {
			w.c.State.Unlock()
		}
		thaw()
		<-done
	}
}

// Who has frozen a container to its end can lock it: nobody who has the lock waits.
func TestFreezeToEnd(t *testing.T) {
	w := newWorld(t)
	task, err := w.c.GetRunningTask()
	if err != nil {
		t.Fatal(err)
	}
	thaw := w.f.FreezeToEnd(t.Context(), w.c)
	w.f.AwaitPause(w.c) // at once: it is refused
	w.c.State.Lock()
	err = task.Pause(t.Context())
	w.c.State.Unlock()
	if !cerrdefs.IsConflict(err) {
		t.Errorf("a pause: %v", err)
	}
	thaw()
	if err := task.Pause(t.Context()); err != nil { // the checkpoint failed
		t.Error(err)
	}
	wantCalls(t, w, "event pause", "event unpause", "task pause")
}

func TestPanicLeavesNothingFrozen(t *testing.T) {
	w := newWorld(t)
	w.panics = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		w.f.FreezeToEnd(t.Context(), w.c)
	}()
	if w.frozen(t) {
		t.Error("the container is frozen")
	}
	w.f.AwaitThaw(w.c) // it takes the lock, and waits for the freeze
	task, err := w.c.GetRunningTask()
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Pause(t.Context()); err != nil {
		t.Error(err)
	}
}

// Another runtime pauses by itself, and the record shows it.
func TestFreezeByAnotherRuntime(t *testing.T) {
	w := newWorld(t)
	w.c.HostConfig.Runtime = "kata"
	thaw := w.f.Freeze(t.Context(), w.c)
	if !w.c.State.Paused || w.frozen(t) {
		t.Error("it was not paused by its runtime")
	}
	w.mu.Lock()
	w.fullDisk = 1 // docker ps goes on showing a pause that could not be written down
	w.mu.Unlock()
	thaw()
	for w.ShowsPaused(w.c) {
		time.Sleep(time.Millisecond)
	}
	wantCalls(t, w, "pause", "unpause", "save", "save")
}

// The daemon's record can be wrong about a pause: containerd is asked.
func TestUnpauseOfWhatTheRecordDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	w.c.HostConfig.Runtime = "kata"
	w.pauseError = errors.New("containerd went away")
	w.status = containerd.Paused
	w.f.Freeze(t.Context(), w.c)()
	wantCalls(t, w, "pause", "unpause", "task resume", "resumed")
}

// A pause of its user's outlasts a commit, whichever runtime it is by, and is not noted
// as one that a crash may leave behind.
func TestFreezeLeavesAPausedContainer(t *testing.T) {
	for runtime, calls := range map[string][]string{moby.StockRuntimeName: nil, "kata": {"pause"}} {
		t.Run(runtime, func(t *testing.T) {
			w := newWorld(t)
			w.c.HostConfig.Runtime = runtime
			w.c.State.Paused = true
			if w.f.Pause(t.Context(), w.c) != nil {
				t.Error("a commit is to pause it")
			}
			w.f.Freeze(t.Context(), w.c)() // paused since the commit began
			if !w.c.State.Paused {
				t.Error("it is not paused any more")
			}
			wantCalls(t, w, calls...)
		})
	}
}

func TestFreezeOfAnUnrecordedContainer(t *testing.T) {
	w := newWorld(t)
	w.c.State.Running = false
	w.f.Freeze(t.Context(), w.c)() // it does not run
	w.unrecorded = true
	thaw := w.f.Freeze(t.Context(), w.c)
	if !w.frozen(t) {
		t.Error("it is not frozen")
	}
	thaw()
	wantCalls(t, w)
}

// TestThawOfAnUnrecordedContainerIsTriedAgain: while its control group cannot be written,
// it stands still, and then it goes on.
func TestThawOfAnUnrecordedContainerIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.c.State.Running = false
	w.unrecorded = true
	thaw := w.f.Freeze(t.Context(), w.c)
	control := w.control(t)
	blocked := filepath.Join(t.TempDir(), "blocked")
	if err := os.WriteFile(blocked, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(blocked, control, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs to mount: %v", err)
	}
	unblock := sync.OnceFunc(func() {
		if err := unix.Unmount(control, 0); err != nil {
			t.Error(err)
		}
	})
	defer unblock()
	if err := unix.Mount("", control, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	thaw()
	unblock()
	if !w.frozen(t) {
		t.Error("it went on although that could not be asked for")
	}
	for began := time.Now(); w.frozen(t) && time.Since(began) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	if w.frozen(t) {
		t.Error("it stands still for good")
	}
}

func TestThawInterrupted(t *testing.T) {
	w := newWorld(t)
	get := func(string) *moby.Container { return w.c }
	w.c.State.Paused = true
	w.f.ThawInterrupted(t.Context(), []string{id}, get)
	if !w.c.State.Paused {
		t.Error("a pause of its user's was ended")
	}
	w.c.HostConfig.Runtime = "kata"
	w.f.ThawInterrupted(t.Context(), []string{id}, get)
	if w.c.State.Paused {
		t.Error("a commit's pause was not ended")
	}
	w.f.ThawInterrupted(t.Context(), []string{id}, func(string) *moby.Container { return nil })
}

// commitConfig returns what a commit is made with that pauses, by whichever field the
// engine line has for it.
func commitConfig(pause bool) (c moby.CreateImageConfig) {
	fields := reflect.ValueOf(&c).Elem()
	if f := fields.FieldByName("Pause"); f.IsValid() {
		f.SetBool(pause)
	} else {
		fields.FieldByName("NoPause").SetBool(!pause)
	}
	return c
}

// The pause of a commit becomes a freeze for as long as the commit reads.
func TestCommit(t *testing.T) {
	with, without := commitConfig(true), commitConfig(false)
	w := newWorld(t)
	find := func() (*moby.Container, error) { return w.c, nil }
	for name, tc := range map[string]struct {
		config moby.CreateImageConfig
		pauses bool
	}{"paused": {with, true}, "as it runs": {without, false}} {
		ctx, err := w.f.Commit(t.Context(), &tc.config, find)
		if err != nil || (ctx != t.Context()) != tc.pauses || moby.TakePause(&tc.config) {
			t.Errorf("%s: %v, %v", name, ctx, err)
		}
	}
	missing := errors.New("no such container")
	if _, err := w.f.Commit(t.Context(), &with, func() (*moby.Container, error) { return nil, missing }); !errors.Is(err, missing) {
		t.Error(err)
	}
	wantCalls(t, w)
}

func TestNoFreezer(t *testing.T) {
	var f *freeze.Freezer
	c := client{}
	if got := f.Client(c); got != c {
		t.Errorf("the client became %v", got)
	}
	f.AwaitThaw(moby.NewContainer(id, t.TempDir()))
	f.AwaitPause(moby.NewContainer(id, t.TempDir()))
	config := commitConfig(true)
	if ctx, err := f.Commit(t.Context(), &config, nil); err != nil || ctx != t.Context() || !moby.TakePause(&config) {
		t.Errorf("a commit: %v, %+v", err, config)
	}
}
