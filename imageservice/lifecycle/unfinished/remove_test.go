package unfinished_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/panics"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

var errNoCgroup = errors.New("no cgroup")

// failedRestore is a world whose container could not be started: processes, mount and
// containerd's container are left of the try.
func failedRestore(t *testing.T, registered bool) (*world, *moby.Container) {
	t.Helper()
	w := newWorld(t)
	c := w.add()
	if !registered {
		delete(w.containers, id)
	}
	if err := unfinished.MarkRestoring(c.Root); err != nil {
		t.Fatal(err)
	}
	w.layer, w.mounted, w.process, w.known = true, true, true, true
	return w, c
}

func TestTakeBack(t *testing.T) {
	for _, registered := range []bool{true, false} {
		w, c := failedRestore(t, registered)
		err := w.TakeBack(t.Context(), c, errNoCgroup)
		if err != errNoCgroup { //nolint:errorlint // the same one
			t.Errorf("registered %v: %v", registered, err)
		}
		if left := w.left(); len(left) > 0 {
			t.Errorf("registered %v: left %v", registered, left)
		}
	}
}

func TestTakeBackOfNothing(t *testing.T) {
	w := newWorld(t)
	gone := moby.NewContainer(id, w.root())
	for _, c := range []*moby.Container{nil, gone} {
		if err := w.TakeBack(t.Context(), c, errNoCgroup); err != errNoCgroup || w.count() > 0 { //nolint:errorlint // the same one
			t.Errorf("%v, %d calls", err, w.count())
		}
	}
}

func TestTakeBackOfARunningContainer(t *testing.T) {
	w, c := failedRestore(t, true)
	c.State.Running = true
	w.fail = func(int) error { w.process, w.mounted, w.known = false, false, false; return nil } // as a removal by force does
	if err := w.TakeBack(t.Context(), c, errNoCgroup); !errors.Is(err, errNoCgroup) || w.count() != 1 || len(w.left()) > 0 {
		t.Errorf("%v, %d calls, left %v", err, w.count(), w.left())
	}
}

func TestTakeBackOfOneOnItsWayOut(t *testing.T) {
	for _, class := range []error{errdefs.ErrNotFound, errdefs.ErrConflict} {
		w, c := failedRestore(t, true)
		w.process, w.mounted, w.known = false, false, false
		w.fail = func(n int) error {
			if n == w.removal() {
				return class
			}
			return nil
		}
		if err := w.TakeBack(t.Context(), c, errNoCgroup); err != errNoCgroup { //nolint:errorlint // the same one
			t.Error(err)
		}
	}
}

// removal is the number of the call that removes a container of which containerd knows
// nothing and that is not mounted.
func (w *world) removal() int { return 3 } // LoadTask, Mounted, Remove

// TestTakeBackTriesAgain has each call of a role fail in turn: the container is removed
// all the same, in the background.
func TestTakeBackTriesAgain(t *testing.T) {
	for n := 1; ; n++ {
		w, c := failedRestore(t, true)
		var slept []time.Duration
		w.SetSleep(func(d time.Duration) { slept = append(slept, d) })
		w.fail = func(call int) error {
			if call == n {
				return errAway
			}
			return nil
		}
		err := w.TakeBack(t.Context(), c, errNoCgroup)
		if w.count() < n {
			break
		}
		<-w.removed
		if left := w.left(); len(left) > 0 {
			t.Errorf("call %d failed: left %v", n, left)
		}
		if !errors.Is(err, errNoCgroup) {
			t.Errorf("call %d failed: %v", n, err)
		}
	}
}

func TestRemovalIsTriedForAMinute(t *testing.T) {
	w, c := failedRestore(t, true)
	var slept []time.Duration
	w.SetSleep(func(d time.Duration) { slept = append(slept, d) })
	w.fail = func(int) error { return errAway }
	w.RemoveLater(t.Context(), c)
	var total time.Duration
	for _, d := range slept {
		total += d
	}
	if total < time.Minute || total > 2*time.Minute || !slices.IsSorted(slept) {
		t.Errorf("slept %v, together %v", slept, total)
	}
	if !unfinished.IsMarked(c.Root) {
		t.Error("without its mark the next start does not remove it")
	}
	w.fail = nil
	w.Mend(t.Context())
	if left := w.left(); len(left) > 0 {
		t.Errorf("left after the next start: %v", left)
	}
}

func TestWhatSomebodyHasStartedStays(t *testing.T) {
	for name, start := range map[string]func(*moby.Container){
		"runs":          func(c *moby.Container) { c.State.Running = true },
		"ran meanwhile": func(c *moby.Container) { c.State.StartedAt = time.Now() },
	} {
		t.Run(name, func(t *testing.T) {
			w, c := failedRestore(t, true)
			w.SetSleep(func(time.Duration) { start(c) })
			w.RemoveLater(t.Context(), c)
			if w.count() > 0 {
				t.Errorf("%d calls", w.count())
			}
		})
	}
}

func TestTakeBackAfterAPanic(t *testing.T) {
	failure := fmt.Errorf("panic: nil map: %w", panics.Err)
	w, c := failedRestore(t, true)
	w.process, w.mounted, w.known = false, false, false
	if err := w.TakeBack(t.Context(), c, failure); err != failure { //nolint:errorlint // the same one
		t.Error(err)
	}
	<-w.removed
	if left := w.left(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestRemovalMayPanic: a panic in the background would end the daemon.
func TestRemovalMayPanic(t *testing.T) {
	w, c := failedRestore(t, true)
	panicked := make(chan struct{})
	w.fail = func(int) error {
		defer close(panicked)
		panic("again")
	}
	if err := w.TakeBack(t.Context(), c, fmt.Errorf("%w", panics.Err)); !strings.Contains(err.Error(), "this is a bug") {
		t.Error(err)
	}
	<-panicked
}
