package history_test

import (
	"fmt"
	"testing"

	"github.com/baleen-project/baleen/containerstore"
)

// sealedLayers seals what a container wrote without keeping it: that is told by
// no list, stays as long as the container or a revision stands on it, and is in
// nobody's way.
func sealedLayers(t *testing.T, k *kept) {
	layer := func() {
		t.Helper()
		if err := k.SealLayer(k.ctx, false); err != nil {
			t.Fatal(err)
		}
	}
	k.write(t, "a", "1")
	layer()
	k.listed(t, "")
	k.must(t, map[string]string{"a": "1"})
	if n, err := k.Nearest(k.ctx); n != 0 || err != nil {
		t.Errorf("the nearest revision is %d, %v", n, err)
	}
	k.write(t, "b", "2")
	r := k.seal(t)
	k.write(t, "b", "3")
	layer()
	layer() // of nothing
	k.listed(t, fmt.Sprint(r.Number, "<0*"))
	if n, err := k.Nearest(k.ctx); n != r.Number || err != nil {
		t.Errorf("the nearest revision is %d, %v", n, err)
	}
	if n, err := k.Since(k.ctx, func(containerstore.Record) bool { return false }); n != 5 || err != nil {
		t.Errorf("%d layers have changed since birth, %v", n, err)
	}
	k.prune(t, "[]") // none goes, and nothing below the container
	k.must(t, map[string]string{"a": "1", "b": "3"})

	k.to(t, r.Number)
	k.must(t, map[string]string{"a": "1", "b": "2"})
	all, err := k.List(k.ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("the revisions are %v, %v", all, err)
	}
	aside := all[1].Number
	k.to(t, aside)
	k.must(t, map[string]string{"a": "1", "b": "3"})
	k.to(t, r.Number)
	k.prune(t, fmt.Sprintf("[%d %d %d]", aside, aside+1, aside+2))
	stack, err := k.Stack(k.ctx)
	if want := fmt.Sprintf("[%[1]s %[1]s.r2 %[1]s.r1]", k.Container); err != nil || fmt.Sprint(stack.Own) != want {
		t.Errorf("the stack is %v, %v; want %s", stack.Own, err, want)
	}
	k.merged(t)
}

// prune removes all revisions that it can, and compares which those are.
func (k *kept) prune(t *testing.T, want string) {
	t.Helper()
	pruned, err := k.Prune(k.ctx, containerstore.Retention{})
	if err != nil || fmt.Sprint(pruned.Removed) != want {
		t.Errorf("pruned %+v, %v; want %s", pruned, err, want)
	}
}

// merged has layers that are no revisions merged, which leaves no more than one
// of them.
func (k *kept) merged(t *testing.T) {
	t.Helper()
	k.MaxLayers = 4
	for i := range 10 {
		k.write(t, "c", fmt.Sprint(i))
		if err := k.SealLayer(k.ctx, i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	k.prune(t, "[]")
	stack, err := k.Stack(k.ctx)
	if err != nil || len(stack.Own) > 4 {
		t.Errorf("the stack is %v, %v", stack.Own, err)
	}
	k.must(t, map[string]string{"a": "1", "b": "2", "c": "9"})
	k.mergedSealed(t)
}

// mergedSealed has those merged alone that are above a revision: what the container
// changed since is told as before.
func (k *kept) mergedSealed(t *testing.T) {
	t.Helper()
	k.listed(t, "2<0*") // merged with others
	k.MaxLayers, k.MaxSealed = 0, 4
	k.to(t, 2)
	k.write(t, "d", "1")
	k.to(t, k.seal(t).Number)
	at, last := k.list(t), k.nearest(t)
	for i := range 10 {
		k.write(t, "c", fmt.Sprint(i))
		if err := k.SealLayer(k.ctx, true); err != nil {
			t.Fatal(err)
		}
		k.listed(t, at)
		if n := k.nearest(t); n != last {
			t.Errorf("the nearest revision is %d, and was %d", n, last)
		}
		if n, err := k.Since(k.ctx, func(containerstore.Record) bool { return false }); n < 2 || n > 4 || err != nil {
			t.Errorf("%d layers have changed since revision %d, %v", n, last, err)
		}
	}
	k.must(t, map[string]string{"a": "1", "b": "2", "c": "9", "d": "1"})
	k.to(t, last)
	k.must(t, map[string]string{"a": "1", "b": "2", "d": "1"})
}

func (k *kept) nearest(t *testing.T) int {
	t.Helper()
	n, err := k.Nearest(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
