package containerstore_test

import "testing"

// TestDiskUsageInASwitch: the revisions of a container that has no active snapshot are
// measured, and none can go before the switch is completed.
func TestDiskUsageInASwitch(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		b := twoRevisions(t, w)
		defer b.gone(t)
		must(t, b.Snapshots.Remove(b.ctx, b.Container))
		u, err := b.DiskUsage(b.ctx)
		must(t, err)
		if u.Revisions != 2 || u.Size == 0 || u.Shared != u.Size {
			t.Errorf("its revisions take %+v", u)
		}
	})
}
