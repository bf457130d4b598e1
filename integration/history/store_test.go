package history_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestRevisionStore keeps and moves containers that nothing but containerd
// knows of.
func TestRevisionStore(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	for _, sn := range []string{"overlayfs", "native"} {
		t.Run("back and forth/"+sn, func(t *testing.T) { backAndForth(t, newKept(t, e, "back-"+sn, sn)) })
		t.Run("live/"+sn, func(t *testing.T) { sealLive(t, newKept(t, e, "live.r1-"+sn, sn)) })
	}
	t.Run("pending", func(t *testing.T) { pendingRevisions(t, newKept(t, e, "pending", harness.Snapshotter)) })
	t.Run("prune", func(t *testing.T) { pruneRevisions(t, newKept(t, e, "prune", harness.Snapshotter)) })
	t.Run("layers that cannot be merged", func(t *testing.T) { neverMerged(t, newKept(t, e, "unmerged", harness.Snapshotter)) })
	t.Run("prune merged layers", func(t *testing.T) { pruneMerged(t, newKept(t, e, "merged", harness.Snapshotter)) })
	t.Run("layers that are no revisions", func(t *testing.T) { sealedLayers(t, newKept(t, e, "layers", harness.Snapshotter)) })
	t.Run("two hundred", func(t *testing.T) { twoHundred(t, newKept(t, e, "many", harness.Snapshotter)) })
	t.Run("cuts with mapped ids", func(t *testing.T) {
		shift := []idmap.Range{{Container: 0, Host: 100000, Size: 65536}}
		cuts(t, e, containerstore.IDs{Way: containerstore.Mounted, Map: idmap.Map{UIDs: shift, GIDs: shift}})
	})
}

func backAndForth(t *testing.T, k *kept) {
	k.write(t, "a", "1")
	r := k.seal(t)
	if r.Number != 1 || r.Previous != 0 || r.Kind != "snapshot" || !r.Current || r.Snapshot != k.Container+".r1" || string(r.Config) != `{"Hostname":"x"}` {
		t.Errorf("the first revision is %+v", r)
	}
	if state, err := k.State(k.ctx); state != nil || err != nil {
		t.Errorf("a container that never moved is on %v, %v", state, err)
	}
	k.do(t, func(root string) {
		harness.WriteFile(t, filepath.Join(root, "a"), "2")
		if err := os.Remove(filepath.Join(root, "one")); err != nil {
			t.Fatal(err)
		}
	})
	k.seal(t)
	k.write(t, "a", "3")
	k.listed(t, "1<0 2<1*")

	for range 2 { // to the same revision twice
		k.to(t, 1)
		k.must(t, map[string]string{"a": "1"})
		k.write(t, "b", "lost?")
	}
	k.listed(t, "1<0* 2<1 3<2 4<1")
	k.to(t, 3)
	k.must(t, map[string]string{"a": "3", "one": "-"})
	k.to(t, 4)
	k.must(t, map[string]string{"a": "1", "b": "lost?"})
	state, err := k.State(k.ctx)
	if err != nil || state == nil || state.Number != 4 {
		t.Errorf("the container is on %+v, %v; want revision 4", state, err)
	}
	k.seal(t)
	if state, err = k.State(k.ctx); err != nil || state == nil || state.Number != 4 {
		t.Errorf("after one more snapshot the state is %+v, %v", state, err)
	}
	if _, err := k.Switch(k.ctx, 99, harness.NewRecord("before")); !errdefs.IsNotFound(err) {
		t.Errorf("a switch to an unknown revision gave %v", err)
	}
	k.must(t, map[string]string{"a": "1", "b": "lost?"})
	stack, err := k.Stack(k.ctx)
	id := k.Container
	want := containerstore.Stack{Own: []string{id, id + ".r7", id + ".r4", id + ".r1"}, Init: id + "-init", Base: id + "-base2", Made: stack.Made}
	if err != nil || stack.Made.IsZero() || fmt.Sprint(stack) != fmt.Sprint(want) {
		t.Errorf("the stack is %v, %v; want %v", stack, err, want)
	}
}

func sealLive(t *testing.T, k *kept) {
	k.write(t, "a", "1")
	k.seal(t)
	k.write(t, "b", "2")
	k.do(t, func(root string) {
		if err := os.Remove(filepath.Join(root, "two")); err != nil {
			t.Fatal(err)
		}
	})
	var calls []string
	pause := func() (thaw func()) {
		if _, err := k.Snapshots.Stat(k.ctx, k.Container+".r2-key"); err != nil {
			t.Errorf("paused before there is a snapshot to copy into: %v", err)
		}
		calls = append(calls, "pause")
		return func() { calls = append(calls, "thaw") }
	}
	r, err := k.SealLive(k.ctx, harness.NewRecord("snapshot"), pause)
	if err != nil {
		t.Fatal(err)
	}
	if r.Number != 2 || r.Previous != 1 || r.Current {
		t.Errorf("the revision of a running container is %+v", r)
	}
	if got := strings.Join(calls[:2], " "); got != "pause thaw" {
		t.Errorf("the container was %v", calls)
	}
	k.write(t, "b", "3")
	k.to(t, 2)
	k.must(t, map[string]string{"a": "1", "b": "2", "two": "-"})
	k.to(t, 3)
	k.must(t, map[string]string{"a": "1", "b": "3", "two": "-"})
	k.listed(t, "1<0 2<1 3<1* 4<2")
}

// pend makes a pending revision on an init layer of its own.
func (k *kept) pend(n int) error {
	file := func(name string) func([]mount.Mount) error {
		return func(mounts []mount.Mount) error {
			return mount.WithTempMount(context.Background(), mounts, func(root string) error {
				return os.WriteFile(filepath.Join(root, name), []byte(name), 0o644)
			})
		}
	}
	on, err := k.PendingInit(k.ctx, n, k.Container+"-base1", k.ids, file(".dockerenv"))
	if err != nil {
		return err
	}
	r := harness.NewRecord("upgrade")
	r.Number = n
	return k.Pending(k.ctx, r, on, n-1, file("upgraded"))
}

func pendingRevisions(t *testing.T, k *kept) {
	k.write(t, "a", "1")
	if err := k.pend(2); err != nil {
		t.Fatal(err)
	}
	k.listed(t, "")
	if err := k.Abandon(k.ctx, 2); err != nil {
		t.Fatal(err)
	}
	if h, err := k.Open(k.ctx); err != nil || h.Next() != 1 {
		t.Errorf("the next number is not 1 (%v)", err)
	}
	if err := k.pend(2); err != nil {
		t.Fatal(err)
	}
	before := harness.NewRecord("before")
	before.Number = 1
	if _, err := k.Switch(k.ctx, 2, before); err != nil {
		t.Fatal(err)
	}
	k.must(t, map[string]string{"two": "-", "upgraded": "upgraded"})
	k.listed(t, "1<0 2<1*")
	k.write(t, "b", "1")
	k.to(t, 1)
	k.must(t, map[string]string{"a": "1"})
	k.to(t, 3)
	k.must(t, map[string]string{"two": "-", "upgraded": "upgraded", "b": "1"})
}

func pruneRevisions(t *testing.T, k *kept) {
	for i := range 4 {
		k.write(t, "a", fmt.Sprint(i+1))
		k.write(t, fmt.Sprint("of", i+1), "x")
		k.seal(t)
	}
	k.to(t, 2) // 1 2* and, aside, 3 4 5
	pruned, err := k.Prune(k.ctx, containerstore.Retention{OlderThan: time.Hour})
	if err != nil || len(pruned.Removed) > 0 {
		t.Errorf("nothing is that old, and %+v was pruned, %v", pruned, err)
	}
	// 2 stands on 1, and 4 on 3: what these hold stays, and they are no revisions.
	pruned, err = k.Prune(k.ctx, containerstore.Retention{Keep: 2})
	if err != nil || fmt.Sprint(pruned.Removed) != "[1 3]" || pruned.Held <= 0 || pruned.Bytes != 0 {
		t.Errorf("pruned %+v, %v; want 1 and 3, whose layers stay", pruned, err)
	}
	k.listed(t, "2<1* 4<3 5<4")
	for _, n := range []int{1, 3} {
		if _, err := k.Revision(k.ctx, n); !errdefs.IsNotFound(err) {
			t.Errorf("revision %d is there: %v", n, err)
		}
	}
	k.must(t, map[string]string{"a": "2", "of1": "x", "of2": "x"})
	k.to(t, 4)
	k.must(t, map[string]string{"a": "4", "of1": "x", "of2": "x", "of3": "x", "of4": "x"})
	k.to(t, 2)
	pruned, err = k.Prune(k.ctx, containerstore.Retention{})
	if err != nil || fmt.Sprint(pruned.Removed) != "[4 5 6 7]" || pruned.Bytes <= 0 || pruned.Held != 0 {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
	k.listed(t, "2<1*")
	if stack, err := k.Stack(k.ctx); err != nil || len(stack.Own) != 3 {
		t.Errorf("the container stands on %v, %v", stack.Own, err)
	}
	if r := k.seal(t); r.Number != 8 {
		t.Errorf("the number %d is used again", r.Number)
	}
	k.must(t, map[string]string{"a": "2", "of1": "x", "of2": "x"})
}

// pruneMerged prunes revisions below layers that were merged.
func pruneMerged(t *testing.T, k *kept) {
	k.MaxLayers = 4
	for i := range 4 {
		k.write(t, fmt.Sprint(i), "x")
		k.seal(t)
	}
	stack, err := k.Stack(k.ctx)
	if err != nil || fmt.Sprint(stack.Own) != "[merged merged.c4]" {
		t.Fatalf("the container stands on %v, %v", stack, err)
	}
	k.do(t, func(root string) {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(root, "0"), &st); err != nil || st.Nlink != 1 {
			t.Errorf("a file of merged layers has %d names, %v", st.Nlink, err)
		}
	})
	k.listed(t, "1<0 2<1 3<2 4<3*")
	pruned, err := k.Prune(k.ctx, containerstore.Retention{})
	if err != nil || fmt.Sprint(pruned.Removed) != "[1 2 3]" {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
	k.listed(t, "4<3*")
	k.write(t, "0", "y")
	k.to(t, 4)
	k.must(t, map[string]string{"0": "x", "1": "x", "2": "x", "3": "x"})
	k.listed(t, "4<3* 5<4")
}

func twoHundred(t *testing.T, k *kept) {
	for i := range 200 {
		k.write(t, "counter", fmt.Sprint(i+1))
		k.write(t, fmt.Sprint("own", i+1), "x")
		k.seal(t)
		stack, err := k.Stack(k.ctx)
		if err != nil || len(stack.Own) > 64 {
			t.Fatalf("after %d snapshots the stack is %v, %v", i+1, stack, err)
		}
	}
	for _, n := range []int{1, 100, 200} {
		begin := time.Now()
		k.to(t, n)
		t.Logf("going to revision %d took %s", n, time.Since(begin).Round(time.Millisecond))
		want := map[string]string{"counter": fmt.Sprint(n)}
		for i := range n {
			want[fmt.Sprint("own", i+1)] = "x"
		}
		k.must(t, want)
		if stack, err := k.Stack(k.ctx); err != nil || len(stack.Own) > 64 {
			t.Errorf("on revision %d the stack is %v, %v", n, stack, err)
		}
	}
}
