package check_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// TestBesideOperations: while containers are made, kept, moved, pruned and removed, and
// garbage is collected, nothing is found.
func TestBesideOperations(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		const workers, rounds = 3, 8
		var done atomic.Bool
		var live, beside errgroup.Group
		for range workers {
			live.Go(func() error {
				for range rounds {
					if err := w.live(w.ctx); err != nil {
						return err
					}
				}
				return nil
			})
		}
		beside.Go(func() error {
			for !done.Load() {
				if _, err := w.db.GarbageCollect(w.ctx); err != nil {
					return fmt.Errorf("collect garbage: %w", err)
				}
			}
			return nil
		})
		checks, containers, busy := 0, 0, 0
		beside.Go(func() error {
			for !done.Load() {
				r, err := w.service.Check(w.ctx, w, w.folder, api.CheckRequest{Content: true})
				if err != nil || r.Found > 0 {
					return fmt.Errorf("check %d: %+v: %w", checks, r, err)
				}
				checks, containers, busy = checks+1, containers+r.Looked.Containers, busy+len(r.Busy)
			}
			return nil
		})
		lived := live.Wait()
		done.Store(true)
		if err := errors.Join(lived, beside.Wait()); err != nil {
			t.Fatal(err)
		}
		if checks < 2 || containers == 0 {
			t.Errorf("%d checks looked at %d containers", checks, containers)
		}
		t.Logf("%d checks looked at %d containers, %d were busy", checks, containers, busy)
		w.expect(t, w.container(t), nil, api.CheckRequest{Content: true})
	})
}

// live is the life of a container.
func (w *world) live(ctx context.Context) error {
	c, err := w.create(ctx)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for range 3 {
		if _, err := w.service.RevisionStore().Snapshot(ctx, c, revisions.SnapshotOptions{}); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	for _, n := range []int{1, 3} {
		m, err := w.service.RevisionStore().PrepareRollback(ctx, c, revisions.RollbackOptions{Revision: n})
		if err == nil {
			err = m.Run(ctx)
		}
		if err != nil {
			return fmt.Errorf("rollback to %d: %w", n, err)
		}
	}
	if _, err := w.service.RevisionStore().PruneRevisions(ctx, c, api.PruneRequest{Keep: 1}); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	if err := w.remove(ctx, c); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

// TestBusy: a container of which an operation does not end is not judged, and the
// operation's lease is none that leaked.
func TestBusy(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		c := w.moved(t)
		m, err := w.service.RevisionStore().PrepareRollback(w.ctx, c, revisions.RollbackOptions{Revision: 2, Message: "before"})
		must(t, err)
		w.label(t, c.ID+".r3", "containerd.io/gc.root", "test") // or it would be collected
		w.unlink(t, c, c.ID+".r3")                              // for there to be something to find
		r := w.check(t, api.CheckRequest{})
		if r.Found != 0 || len(r.Busy) != 1 || r.Busy[0] != c.ID {
			t.Errorf("while a rollback is prepared: %+v", r)
		}
		must(t, m.Abandon(w.ctx))
		w.expect(t, c, []string{"snapshot-unheld {id}.r3"}, api.CheckRequest{})
	})
}

// TestLocked: a container that stays locked does not keep a check waiting.
func TestLocked(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		c, other := w.moved(t), w.moved(t)
		w.unlink(t, other, other.ID+".r3")
		c.State.Lock()
		r := w.check(t, api.CheckRequest{})
		c.State.Unlock()
		if len(r.Busy) != 1 || r.Busy[0] != c.ID || r.Found != 1 {
			t.Errorf("while a container is locked: %+v", r)
		}
		w.expect(t, c, []string{"snapshot-unheld " + other.ID + ".r3"}, api.CheckRequest{})
	})
}

// TestManyFindings: a report has a limit.
func TestManyFindings(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		const more = 5
		for i := range api.MaxFindings + more {
			w.operation(t, fmt.Sprint("leaked-", i), map[string]string{labelOwner: owner})
		}
		r := w.check(t, api.CheckRequest{})
		if len(r.Findings) != api.MaxFindings || r.Found != api.MaxFindings+more || r.Left != r.Found {
			t.Errorf("listed %d of %d findings, %d left", len(r.Findings), r.Found, r.Left)
		}
		if r = w.check(t, api.CheckRequest{Repair: true}); r.Left != 0 || r.Found != api.MaxFindings+more {
			t.Errorf("%d of %d findings left", r.Left, r.Found)
		}
	})
}

// TestEndOfTheRequest ends a check.
func TestEndOfTheRequest(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		w.moved(t)
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if r, err := w.service.Check(ctx, w, w.folder, api.CheckRequest{}); err == nil {
			t.Errorf("a check of a request that has ended: %+v", r)
		}
	})
}
