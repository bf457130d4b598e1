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
