package containerstore_test

import (
	"path/filepath"
	"testing"
)

// TestReadsOfAnOperation: an operation reads the list of a container's snapshots when
// it begins, and when it has sealed what the container wrote.
func TestReadsOfAnOperation(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name  string
			do    func(*box) error
			walks int
			calls map[string]int // all calls to the snapshotter, by snapshotter
		}{
			{"snapshot", func(b *box) error { _, err := b.Seal(b.ctx, record("snapshot")); return err }, 2, map[string]int{"overlay": 21, "native": 14}},
			{"rollback", func(b *box) error { _, err := b.Switch(b.ctx, 1, record("before")); return err }, 2, map[string]int{"overlay": 22, "native": 14}},
			{"upgrade", upgrade, 2, map[string]int{"overlay": 27, "native": 19}},
		} {
			b := w.container(t, "c0ffee")
			b.set(t, "a", "1")
			_, err := b.Seal(b.ctx, record("snapshot"))
			must(t, err)
			b.set(t, "a", "2")
			counted := &calls{}
			must(t, c.do(b.through(counted)))
			calls := 0
			for _, name := range []string{"stat", "update", "usage", "mounts", "prepare", "view", "commit", "remove", "walk"} {
				calls += counted.by[name]
			}
			if want := c.calls[filepath.Base(t.Name())]; counted.by["walk"] != c.walks || calls != want {
				t.Errorf("%s: %d calls to the snapshotter, of which %d are walks, want %d and %d: %v", c.name, calls, counted.by["walk"], want, c.walks, counted.by)
			}
			b.gone(t)
		}
	})
}
