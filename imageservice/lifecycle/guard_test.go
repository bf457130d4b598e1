//go:build go1.25

// The language version of this file is that of testing/synctest.

package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

func TestOneOperationAtATime(t *testing.T) {
	w := newWorld(t, true)
	ctx, c, end, err := w.ops.Begin(t.Context(), "web", "a snapshot")
	if err != nil || c != w.c {
		t.Fatal(c, err)
	}
	_, err = w.ops.Prune(t.Context(), "web", api.PruneRequest{})
	wantConflict(t, err, "container web is busy: a snapshot is under way")
	if err := w.ops.MayStart(t.Context(), w.c); err != nil {
		t.Errorf("a snapshot keeps the container from starting: %v", err)
	}
	end()
	if ctx.Err() == nil {
		t.Error("the context goes on after the operation")
	}
	if report, err := w.ops.Prune(t.Context(), "web", api.PruneRequest{}); err != nil || len(report.Removed) != 1 {
		t.Errorf("after the snapshot: %+v, %v", report, err)
	}
}

func TestAContextEndsWithTheRequest(t *testing.T) {
	w := newWorld(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	err := w.ops.Do(ctx, "web", "a snapshot", func(ctx context.Context, _ *moby.Container) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// That of an operation that ends what it has begun does not.
	ctx, cancel = context.WithCancel(t.Context())
	kept, _, end, err := w.ops.Begin(ctx, "web", "an upgrade")
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	cancel()
	if kept.Err() != nil {
		t.Error("the operation ends with the request")
	}
}

func TestOperationsAreRefused(t *testing.T) {
	w := newWorld(t, true)
	if _, err := w.ops.Snapshot(t.Context(), "db", api.SnapshotRequest{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("of an unknown container: %v", err)
	}
	for name, mark := range map[string]func(bool){
		"removal": func(on bool) { w.c.State.RemovalInProgress = on },
		"dead":    func(on bool) { w.c.State.Dead = on },
	} {
		mark(true)
		_, err := w.ops.Snapshot(t.Context(), "web", api.SnapshotRequest{})
		wantConflict(t, err, "container web is marked for removal")
		mark(false)
		if _, err := w.ops.Snapshot(t.Context(), "web", api.SnapshotRequest{}); err != nil {
			t.Errorf("%s: the refused operation is still under way: %v", name, err)
		}
	}
	err := w.ops.Upgrade(t.Context(), "web", api.UpgradeRequest{Policy: "unknown"}, nil)
	if !cerrdefs.IsInvalidArgument(err) || len(w.calls) > 2 {
		t.Errorf("an unknown policy: %v, calls %q", err, w.calls)
	}
}

func TestStartsAreGuardedDuringAMove(t *testing.T) {
	synctest.Test(t, startsAreGuarded)
}

func startsAreGuarded(t *testing.T) {
	w := newWorld(t, true)
	w.ifNew(func() {
		w.later(time.Second, func(c *moby.Container) {
			if err := w.ops.MayStart(context.Background(), c); err != nil {
				t.Errorf("nobody else can start a container that is watched: %v", err)
			}
			exit(1)(c)
		})
	})
	w.at = func(n int) error {
		err := w.ops.MayStart(context.Background(), w.c)
		switch call := w.calls[n-1]; call {
		case "plan":
			if err != nil {
				t.Errorf("before the stop: %v", err)
			}
		default:
			if err == nil || !strings.Contains(err.Error(), "cannot start container web: an upgrade is under way") {
				t.Errorf("at %s somebody else can start the container: %v", call, err)
			}
		}
		return nil
	}
	if err := w.ops.Upgrade(t.Context(), "web", api.UpgradeRequest{}, func(api.Progress) {}); err != nil || w.files != "old" {
		t.Fatalf("error %v, files %s: it was to be taken back", err, w.files)
	}
	w.checkSettled()
}

// Without Baleen's image service operations are refused and nothing is guarded.
func TestNoOperations(t *testing.T) {
	var none *lifecycle.Operations
	ctx, c := t.Context(), moby.NewContainer(id, "")
	if err := errors.Join(none.MayStart(ctx, c), none.EndWork(ctx, c, false)); err != nil {
		t.Errorf("guarded: %v", err)
	}
	none.Shutdown(ctx)
	if task, err := none.UnrecordedTask(ctx, c); task != nil || err != nil {
		t.Errorf("task %v, %v", task, err)
	}
	_, snapshot := none.Snapshot(ctx, "web", api.SnapshotRequest{})
	_, revisions := none.Revisions(ctx, "web")
	_, prune := none.Prune(ctx, "web", api.PruneRequest{})
	_, check := none.Check(ctx, nil, "", api.CheckRequest{})
	tell := func(api.Progress) {}
	for verb, err := range map[string]error{
		"snapshot": snapshot, "revisions": revisions, "prune": prune, "check": check,
		"upgrade":  none.Upgrade(ctx, "web", api.UpgradeRequest{}, tell),
		"rollback": none.Rollback(ctx, "web", api.RollbackRequest{}, tell),
	} {
		if !cerrdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "containerd-snapshotter is off") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestSnapshotIsAnEvent(t *testing.T) {
	w := newWorld(t, true)
	made, err := w.ops.Snapshot(t.Context(), "web", api.SnapshotRequest{})
	if err != nil || made.Number != 1 || strings.Join(w.events, ",") != "snapshot 1" {
		t.Fatalf("%+v, %v, events %q", made, err, w.events)
	}
	list, err := w.ops.Revisions(t.Context(), "web")
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	w.at = w.failing("snapshot", 1)
	if _, err := w.ops.Snapshot(t.Context(), "web", api.SnapshotRequest{}); !errors.Is(err, errFault) || len(w.events) != 1 {
		t.Fatalf("a snapshot that fails: %v, events %q", err, w.events)
	}
}

func wantConflict(t *testing.T, err error, text string) {
	t.Helper()
	if !cerrdefs.IsConflict(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want a conflict: %q", err, text)
	}
}
