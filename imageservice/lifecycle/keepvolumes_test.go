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

// A volume that came with an upgrade goes with a rollback, unless the revision had it, too.
// What the daemon did not get to the next start does.
func TestVolumesOfAnUpgrade(t *testing.T) {
	for _, tc := range []struct {
		name     string
		had      []string // by the state; nil if that is not known
		rollback bool     // otherwise the container is loaded
		stays    bool
	}{
		{"rollback to a revision without it", []string{}, true, false},
		{"rollback to a revision of which that is not known", nil, true, false},
		{"rollback to a revision that had it", []string{"data"}, true, true},
		{"rollback to a revision that had another one", []string{"other"}, true, false},
		{"load after a rollback to a revision without it", []string{}, false, false},
		{"load after a rollback to a revision that had it", []string{"data"}, false, true},
		{"load after a rollback to a revision of which that is not known", nil, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, false)
				w.had = tc.had
				at := &moby.MountPoint{Type: moby.MountTypeVolume, Name: "data"}
				if tc.rollback { // a daemon that starts has not looked it up
					at.Volume = volume{name: "data"}
				}
				at.Spec.VolumeOptions = &moby.VolumeOptions{Labels: map[string]string{"io.baleen.added": id}}
				w.c.MountPoints["/data"] = at
				w.files = "new"
				var err error
				if tc.rollback {
					err = w.ops.Rollback(t.Context(), "web", api.RollbackRequest{}, func(api.Progress) {})
				} else {
					_, err = w.ops.Load(t.Context(), w.c)
				}
				if stays := w.c.MountPoints["/data"] == at; err != nil || stays != tc.stays {
					t.Errorf("the volume stays: %v, want %v (%v)", stays, tc.stays, err)
				}
			})
		})
	}
}
