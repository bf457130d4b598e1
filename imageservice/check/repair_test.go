package check_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// held lists what the lease of a container holds.
func (w *world) held(t *testing.T, c *moby.Container) (names []string) {
	t.Helper()
	all, err := w.leases.ListResources(w.ctx, leases.Lease{ID: c.ID})
	must(t, err)
	for _, r := range all {
		names = append(names, r.ID)
	}
	slices.Sort(names)
	return names
}

// TestRepairCollectsNothing: what the lease of a container is to hold is not collected by
// the other repairs of the same check.
func TestRepairCollectsNothing(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *world){
		"leaked lease": func(t *testing.T, w *world) { w.operation(t, "leaked", map[string]string{labelOwner: owner}) },
		"move that cannot be settled": func(t *testing.T, w *world) {
			for range 8 { // one of them is looked at first
				running := w.moved(t)
				w.label(t, running.ID+".r3", "io.baleen.pending", "1")
				running.State.Running = true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachSnapshotter(t, func(t *testing.T, w *world) {
				c := w.moved(t)
				spoil(t, w)
				w.unlink(t, c, c.ID+".r3")
				w.check(t, api.CheckRequest{Repair: true})
				_, err := w.snapshots.Stat(w.ctx, c.ID+".r3")
				must(t, err)
				if held := w.held(t, c); !slices.Contains(held, c.ID+".r3") {
					t.Errorf("the container's lease holds %q", held)
				}
			})
		})
	}
}

// TestLeakedLeaseStays: a lease may keep the snapshots that a container should hold, so
// it is not deleted when the container cannot be made to hold them.
func TestLeakedLeaseStays(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		c := w.moved(t)
		w.unlink(t, c, c.ID+".r3")
		w.operation(t, "leaked", map[string]string{labelOwner: owner})
		w.onHold = func() error { return errors.New("containerd does not answer") }
		if r := w.check(t, api.CheckRequest{Repair: true}); r.Left != 2 {
			t.Errorf("the report is %+v", r)
		}
		w.onHold = nil
		if r := w.check(t, api.CheckRequest{Repair: true}); r.Found != 2 || r.Left != 0 {
			t.Errorf("then the report is %+v", r)
		}
	})
}

// TestHoldFails: a repair that fails, or that comes when the container is being removed,
// leaves all that the container's lease holds.
func TestHoldFails(t *testing.T) {
	for name, onHold := range map[string]func(*moby.Container) error{
		"failure": func(*moby.Container) error { return errors.New("containerd does not answer") },
		"removal": func(c *moby.Container) error { c.State.SetRemovalInProgress(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			eachSnapshotter(t, func(t *testing.T, w *world) {
				c := w.moved(t)
				w.unlink(t, c, c.ID+".r3")
				before := w.held(t, c)
				w.onHold = func() error { return onHold(c) }
				w.check(t, api.CheckRequest{Repair: true})
				if after := w.held(t, c); !slices.Equal(after, before) || len(after) == 0 {
					t.Errorf("the container's lease holds %q, want %q", after, before)
				}
			})
		})
	}
}
