package containerstore_test

import (
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
)

// TestPruneTheUpgrade: after the revision of an upgrade was pruned it is still known what
// the container changed since the upgrade, and which revision was before it.
func TestPruneTheUpgrade(t *testing.T) {
	ofUpgrade := func(r containerstore.Record) bool { return r.Kind == "upgrade" }
	eachSnapshotter(t, func(t *testing.T, w *world) {
		for name, keep := range map[string]containerstore.Retention{"nothing": {Keep: 4}, "all": {Merge: true}} {
			t.Run(name, func(t *testing.T) {
				b := w.container(t, "c0ffee")
				defer b.gone(t)
				b.set(t, "a", "1")
				_, err := b.Seal(b.ctx, record("snapshot"))
				must(t, err)
				must(t, upgrade(b)) // from revision 2 to 3
				b.set(t, "b", "2")
				_, err = b.Seal(b.ctx, record("snapshot"))
				must(t, err)
				b.set(t, "c", "3")
				p, err := b.Prune(b.ctx, keep)
				must(t, err)
				if want := map[string]int{"nothing": 0, "all": 3}[name]; len(p.Removed) != want {
					t.Fatalf("revisions %v were removed", p.Removed)
				}
				h, err := b.Open(b.ctx)
				must(t, err)
				if n, err := h.Before(b.ctx, ofUpgrade); n != 2 || err != nil {
					t.Errorf("before the upgrade was revision %d (%v), want 2", n, err)
				}
				// The active snapshot and that of revision 4.
				if n, err := h.Since(b.ctx, ofUpgrade); n != 2 || err != nil {
					t.Errorf("the container wrote %d layers since the upgrade (%v), want 2", n, err)
				}
			})
		}
	})
}

// TestPruneWhereItWentTo: after the revision to which a container was rolled back was pruned
// it is still known what the container changed since.
func TestPruneWhereItWentTo(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		b := twoRevisions(t, w)
		_, err := b.Switch(b.ctx, 1, record("before"))
		must(t, err)
		b.set(t, "b", "2")
		_, err = b.Seal(b.ctx, record("snapshot"))
		must(t, err)
		_, err = b.Prune(b.ctx, containerstore.Retention{Merge: true})
		must(t, err)
		h, err := b.Open(b.ctx)
		must(t, err)
		never := func(containerstore.Record) bool { return false }
		if n, err := h.Since(b.ctx, never); n != 2 || err != nil {
			t.Errorf("the container wrote %d layers since the rollback (%v), want 2", n, err)
		}
		if n, err := h.Before(b.ctx, never); n != 0 || err != nil {
			t.Errorf("revision %d was before an upgrade (%v), and there was none", n, err)
		}
	})
}

// TestBeforeTheUpgradeAcrossAGap: which revision was before the upgrade is known also if
// the layers of revisions that were made since have gone.
func TestBeforeTheUpgradeAcrossAGap(t *testing.T) {
	ofUpgrade := func(r containerstore.Record) bool { return r.Kind == "upgrade" }
	for name, most := range map[string]int{"merged by a prune": 0, "merged for their number": 3} {
		t.Run(name, func(t *testing.T) {
			b := liveBox(t)
			defer b.gone(t)
			b.set(t, "a", "1")
			must(t, upgrade(b)) // from revision 1 to 2
			b.MaxLayers = most
			for _, text := range []string{"2", "3", "4"} {
				b.set(t, "b", text)
				_, err := b.Seal(b.ctx, record("snapshot"))
				must(t, err)
			}
			_, err := b.Prune(b.ctx, containerstore.Retention{Merge: true})
			must(t, err)
			b.is(t, "5<4* a=3 b=4; r5 a=3 b=4")
			if _, err := b.Snapshots.Stat(b.ctx, b.Container+".r4"); !errdefs.IsNotFound(err) {
				t.Fatalf("the layer of revision 4: %v", err)
			}
			h, err := b.Open(b.ctx)
			must(t, err)
			if n, err := h.Before(b.ctx, ofUpgrade); n != 1 || err != nil {
				t.Errorf("before the upgrade was revision %d (%v), want 1", n, err)
			}
		})
	}
}
