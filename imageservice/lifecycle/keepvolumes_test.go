//go:build go1.25

package lifecycle_test

import (
	"testing"
	"testing/synctest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// A volume that is not the container's own to give back stays when it is rolled back: one
// that another container was upgraded to and this one has by --volumes-from, and any that
// was there before an upgrade that is taken back.
func TestRollbackLeavesVolumes(t *testing.T) {
	for _, tc := range []struct {
		name, of string
		move     func(w *world) error
	}{
		{"of another container", "fedcba9876543210", func(w *world) error {
			w.files = "new"
			return w.ops.Rollback(w.t.Context(), "web", api.RollbackRequest{}, func(api.Progress) {})
		}},
		{"from before an upgrade that is taken back", id, func(w *world) error {
			w.ifNew(func() { w.c.State.Running = false })
			return w.ops.Upgrade(w.t.Context(), "web", api.UpgradeRequest{}, func(api.Progress) {})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, true)
				at := &moby.MountPoint{Volume: volume{name: "data"}}
				at.Spec.VolumeOptions = &moby.VolumeOptions{Labels: map[string]string{"io.baleen.added": tc.of}}
				w.c.MountPoints["/data"] = at
				if err := tc.move(w); err != nil || w.files != "old" || w.c.MountPoints["/data"] != at {
					t.Errorf("the files are %s, the mounts %v: %v", w.files, w.c.MountPoints, err)
				}
			})
		})
	}
}
