package containerstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/baleen-project/baleen/containerstore"
)

// TestPruneMerges prunes a container that stands on the layers of what is removed.
func TestPruneMerges(t *testing.T) {
	all := containerstore.Retention{Merge: true}
	eachSnapshotter(t, func(t *testing.T, w *world) {
		prune := func(t *testing.T, b *box, keep containerstore.Retention, removed, state string, layers int) {
			t.Helper()
			p, err := b.Prune(b.ctx, keep)
			must(t, err)
			if got := fmt.Sprint(p.Removed); got != removed {
				t.Errorf("%s are removed, want %s", got, removed)
			}
			if got := b.state(t); got != state {
				t.Errorf("it is\n%s\nwant\n%s", got, state)
			}
			stack, err := b.Stack(b.ctx)
			must(t, err)
			if w.copies { // which do not tell layers
				return
			}
			if merged := layers < 4; len(stack.Own) != layers || merged != (p.Held == 0) || merged != (p.Bytes > 0) {
				t.Errorf("the container stands on %v, want %d of its own; %d bytes are given back, %d held", stack.Own, layers, p.Bytes, p.Held)
			}
		}
		const (
			before = "1<0 2<1 3<2* a=3; r1 a=1; r2 a=2; r3 a=3"
			pruned = "3<2* a=3; r3 a=3"
		)
		// three makes a container that stands on revision 3, which has changed a file of 1 and 2.
		three := func(t *testing.T) *box {
			b := twoRevisions(t, w)
			b.set(t, "a", "3")
			_, err := b.Seal(b.ctx, record("snapshot"))
			must(t, err)
			if got := b.state(t); got != before {
				t.Fatal(got)
			}
			return b
		}
		t.Run("all", func(t *testing.T) {
			b := three(t)
			defer b.gone(t)
			prune(t, b, all, "[1 2]", pruned, 2)
			// Once more, and the number goes on.
			b.set(t, "a", "4")
			_, err := b.Seal(b.ctx, record("snapshot"))
			must(t, err)
			prune(t, b, all, "[3]", "4<3* a=4; r4 a=4", 2)
		})
		t.Run("it was not asked for", func(t *testing.T) {
			b := three(t)
			defer b.gone(t)
			prune(t, b, containerstore.Retention{}, "[1 2]", pruned, 4)
			if !w.copies {
				prune(t, b, all, "[]", pruned, 2)
			}
		})
		t.Run("written since", func(t *testing.T) {
			b := three(t)
			defer b.gone(t)
			b.set(t, "b", "1")
			prune(t, b, all, "[1 2]", "3<2* a=3 b=1; r3 a=3", 4)
		})
		t.Run("another revision stands on them", func(t *testing.T) {
			b := three(t)
			defer b.gone(t)
			_, err := b.Switch(b.ctx, 2, record("before")) // makes 4
			must(t, err)
			_, err = b.Switch(b.ctx, 3, record("before")) // makes 5, on 2
			must(t, err)
			prune(t, b, containerstore.Retention{Keep: 1, Merge: true}, "[1 2 4]", "3<2* 5<2 a=3; r3 a=3; r5 a=2", 4)
		})
		t.Run("two stay", func(t *testing.T) {
			b := three(t)
			defer b.gone(t)
			b.set(t, "b", "4")
			_, err := b.Seal(b.ctx, record("snapshot"))
			must(t, err)
			prune(t, b, containerstore.Retention{Keep: 2, Merge: true}, "[1 2]", "3<2 4<3* a=3 b=4; r3 a=3; r4 a=3 b=4", 3)
			_, err = b.Switch(b.ctx, 3, record("before"))
			must(t, err)
			prune(t, b, all, "[4 5]", pruned, 2)
		})
		t.Run("what was merged is as old as before", func(t *testing.T) {
			b := twoRevisions(t, w)
			defer b.gone(t)
			for _, text := range []string{"3", "4"} {
				b.set(t, "a", text)
				r := record("snapshot")
				r.Created = r.Created.Add(-2 * time.Hour)
				_, err := b.Seal(b.ctx, r)
				must(t, err)
			}
			prune(t, b, containerstore.Retention{Keep: 2, Merge: true}, "[1 2]", "3<2 4<3* a=4; r3 a=3; r4 a=4", 3)
			if w.copies { // of which nothing is merged
				return
			}
			for at, removed := range []string{"[]", "[3]"} {
				age := []time.Duration{3 * time.Hour, time.Hour}[at]
				p, err := b.Prune(b.ctx, containerstore.Retention{OlderThan: age})
				must(t, err)
				if got := fmt.Sprint(p.Removed); got != removed {
					t.Errorf("older than %v are %s, want %s", age, got, removed)
				}
			}
		})
		t.Run("what stays weighs more", func(t *testing.T) {
			b := three(t)
			defer b.gone(t)
			prune(t, b, containerstore.Retention{Keep: 2, Merge: true}, "[1]", "2<1 3<2* a=3; r2 a=2; r3 a=3", 4)
		})
	})
}
