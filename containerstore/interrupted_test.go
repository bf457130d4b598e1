package containerstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore"
)

// interruption is an operation on a container of which each call to containerd fails in
// turn. The container has revision 1 with a=1, stands on it, and has written a=2.
type interruption struct {
	name    string
	prepare func(*testing.T, *box)
	do      func(*box) error
	// What the container is before and after, as state tells it. Steps between are
	// allowed only if they are in between.
	before, after string
	between       []string
	// folders says that it is of snapshots that are stacks of folders.
	folders bool
	// moves says that it has intents.
	moves bool
	// pruned says that layers that are left are removed by the next prune.
	pruned bool
}

const (
	start  = "1<0* a=2; r1 a=1"
	sealed = "1<0 2<1* a=2; r1 a=1; r2 a=2"
	lost   = "1<0* a=1; r1 a=1"
)

// unwritten is of a container that was not used since its active snapshot was made.
var unwritten = containerstore.Remake{Written: func(snapshots.Info, string) bool { return false }}

var interruptions = []interruption{
	{name: "seal", moves: true, before: start, after: sealed, do: func(b *box) error { _, err := b.Seal(b.ctx, record("snapshot")); return err }},
	{name: "seal a layer", before: start, after: start, do: func(b *box) error { return b.SealLayer(b.ctx, true) }},
	{name: "seal a layer to be thrown away", before: start, after: start, do: func(b *box) error { return b.SealLayer(b.ctx, false) }},
	{
		name: "seal live", before: start, after: "1<0* 2<1 a=2; r1 a=1; r2 a=2",
		do: func(b *box) error { _, err := b.SealLive(b.ctx, record("snapshot"), unpaused); return err },
	},
	{
		name: "seal live again", before: "1<0* 2<1 a=3; r1 a=1; r2 a=2", after: "1<0* 2<1 3<1 a=3; r1 a=1; r2 a=2; r3 a=3",
		prepare: func(t *testing.T, b *box) {
			b.Live = &containerstore.LiveSeals{}
			b.live(t)
			b.set(t, "a", "3")
		},
		do: func(b *box) error { _, err := b.SealLive(b.ctx, record("snapshot"), unpaused); return err },
	},
	{
		name: "rollback", moves: true, before: start, after: "1<0* 2<1 a=1; r1 a=1; r2 a=2",
		do: func(b *box) error { _, err := b.Switch(b.ctx, 1, record("before")); return err },
	},
	{
		name: "upgrade", moves: true, before: start, after: "1<0 2<1 3<2* a=3; r1 a=1; r2 a=2; r3 a=3", do: upgrade,
	},
	{
		name: "abandon an upgrade", before: start, after: start,
		prepare: func(t *testing.T, b *box) {
			h, err := b.Open(b.ctx)
			must(t, err)
			must(t, b.pend(h, 3))
		},
		do: func(b *box) error { return b.Abandon(b.ctx, 3) },
	},
	{
		name: "seal and merge layers", moves: true, before: start, after: sealed,
		prepare: func(_ *testing.T, b *box) { b.MaxLayers = 2 },
		do:      func(b *box) error { _, err := b.Seal(b.ctx, record("snapshot")); return err },
	},
	{
		name: "prune", before: "1<0* 2<1 3<2 a=1; r1 a=1; r2 a=2; r3 a=2", after: "1<0* a=1; r1 a=1",
		between: []string{"1<0* 2<1 a=1; r1 a=1; r2 a=2"},
		prepare: func(t *testing.T, b *box) {
			_, err := b.Seal(b.ctx, record("snapshot"))
			must(t, err)
			_, err = b.Switch(b.ctx, 1, record("before"))
			must(t, err)
		},
		do: func(b *box) error { _, err := b.Prune(b.ctx, containerstore.Retention{}); return err },
	},
	{
		name: "prune and merge", before: sealed, after: "2<1* a=2; r2 a=2", pruned: true,
		prepare: func(t *testing.T, b *box) {
			_, err := b.Seal(b.ctx, record("snapshot"))
			must(t, err)
		},
		do: func(b *box) error { _, err := b.Prune(b.ctx, containerstore.Retention{Merge: true}); return err },
	},
	{
		name: "return", moves: true, before: "1<0* 2<1 a=1; r1 a=1; r2 a=2", after: "1<0 2<1* a=2; r1 a=1; r2 a=2",
		between: []string{"1<0 2<1* 3<1 a=2; r1 a=1; r2 a=2; r3 a=1"}, // of copies, which are switched
		prepare: func(t *testing.T, b *box) {
			_, err := b.Switch(b.ctx, 1, record("before"))
			must(t, err)
		},
		do: func(b *box) error {
			_, ok, err := b.Return(b.ctx, 2, record("before"))
			if err == nil && !ok { // snapshots that are copies do not tell
				_, err = b.Switch(b.ctx, 2, record("before"))
			}
			return err
		},
	},
	{
		name: "reopen", before: start, after: start,
		do: func(b *box) error { return b.Reopen(b.ctx, containerstore.Remake{}) },
	},
	{
		name: "reopen with a lost folder", before: lost, after: lost, folders: true,
		prepare: func(t *testing.T, b *box) { must(t, os.RemoveAll(b.upper(b.w.ctx))) },
		do:      func(b *box) error { return b.Reopen(b.ctx, unwritten) },
	},
	{
		name: "inspect", before: start, after: start,
		do: func(b *box) error {
			_, err := b.Inspect(b.ctx, func(ocispec.Descriptor, ocispec.Platform) error { return nil })
			return err
		},
	},
}

// pend makes a pending revision of that number, on an init layer of its own.
func (b *box) pend(h *containerstore.Tree, n int) error {
	files := func(files map[string]string) func([]mount.Mount) error {
		return func(mounts []mount.Mount) error {
			return b.w.in(mounts, func(root string) error {
				for name, text := range files {
					if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	on, err := h.PendingInit(b.ctx, n, image, containerstore.IDs{}, files(map[string]string{".dockerenv": ""}))
	if err != nil {
		return err
	}
	r := record("upgrade")
	r.Number = n
	return h.Pending(b.ctx, r, on, n-1, files(map[string]string{"a": "3"}))
}

// upgrade moves the container as the daemon does: a pending revision, and a switch.
// If it fails the pending revision is abandoned.
func upgrade(b *box) error {
	h, err := b.Open(b.ctx)
	if err != nil {
		return err
	}
	before := record("before")
	before.Number = h.Next()
	if _, err = h.Stack(b.ctx); err == nil {
		err = b.pend(h, before.Number+1)
	}
	if err == nil {
		_, err = h.Switch(b.ctx, before.Number+1, before)
	}
	if err == nil {
		_, err = h.Revision(b.ctx, before.Number+1)
	}
	return err
}

// TestEachCallFails has each call of each operation fail, before and after containerd
// has done what was asked for. The operation cleans up after itself.
func TestEachCallFails(t *testing.T) { eachCall(t, calls{}, nil) }

// TestEachCallIsTheLast ends each operation at each of its calls, as the end of the
// program does. Opening the history again completes it or takes it back.
func TestEachCallIsTheLast(t *testing.T) { eachCall(t, calls{onwards: true}, nil) }

// TestEachCallIsTheLastOfAnEarlierVersion is TestEachCallIsTheLast with the labels by which
// versions before the one label of an intent told what they were doing.
func TestEachCallIsTheLastOfAnEarlierVersion(t *testing.T) {
	var mu sync.Mutex
	told := map[string]bool{}
	t.Cleanup(func() {
		for _, want := range []string{
			"[io.baleen.pending]", "[io.baleen.filling]", "[io.baleen.next io.baleen.next.state]", "[io.baleen.next io.baleen.next.state io.baleen.pending]", "[io.baleen.filling io.baleen.next]",
		} {
			if !t.Failed() && !told[want] {
				t.Errorf("no operation was cut with %s, but with %v", want, slices.Collect(maps.Keys(told)))
			}
		}
	})
	eachCall(t, calls{onwards: true}, func(t *testing.T, b *box) {
		must(t, b.w.snapshots.Walk(b.w.ctx, func(_ context.Context, i snapshots.Info) error {
			old := oldLabels(t, i)
			if len(old) == 0 {
				return nil
			}
			mu.Lock()
			told[fmt.Sprint(slices.Sorted(maps.Keys(old)))] = true
			mu.Unlock()
			old["io.baleen.intent"] = ""
			var paths []string
			for key := range old {
				paths = append(paths, "labels."+key)
			}
			i.Labels = old
			_, err := b.w.snapshots.Update(b.w.ctx, i, paths...)
			return err
		}))
	})
}

// TestEachCallIsTheLastBeforeAPowerCut is TestEachCallIsTheLast with a power cut that takes
// the folder of the active snapshot if that is empty. Nobody knows whether anything was
// written to it: the intent tells.
func TestEachCallIsTheLastBeforeAPowerCut(t *testing.T) {
	var lost atomic.Int32
	t.Cleanup(func() {
		if !t.Failed() && lost.Load() < 10 {
			t.Errorf("%d folders were lost", lost.Load())
		}
	})
	eachCall(t, calls{onwards: true}, func(t *testing.T, b *box) {
		upper := b.upper(b.w.ctx)
		if entries, err := os.ReadDir(upper); err != nil || len(entries) > 0 {
			return // also if there is no active snapshot
		}
		must(t, b.w.snapshots.Walk(b.w.ctx, func(_ context.Context, i snapshots.Info) error {
			intent := i.Labels["io.baleen.intent"]
			if !strings.Contains(intent, "mark") && (intent == "" || i.Name != b.parent(t)) {
				return nil
			}
			lost.Add(1)
			b.remake = containerstore.Remake{}
			return os.RemoveAll(upper)
		}))
	})
}

// oldLabels are the labels that an intent was before there was one label of it.
func oldLabels(t *testing.T, i snapshots.Info) map[string]string {
	text := i.Labels["io.baleen.intent"]
	if text == "" {
		return nil
	}
	var in struct {
		Kind, Mark, State, Project string
		Made                       bool
		Last                       int
	}
	must(t, json.Unmarshal([]byte(text), &in))
	old := map[string]string{}
	if in.Kind == "made" || in.Made {
		old["io.baleen.pending"] = "1"
	}
	if in.Mark != "" {
		old["io.baleen.filling"] = in.Mark
	}
	if in.Kind == "enter" || in.Kind == "seal" {
		old["io.baleen.next"] = i.Labels["io.baleen.container"]
	}
	if in.State != "" {
		old["io.baleen.next.state"] = in.State
	}
	return old
}

// eachCall makes each call of each operation fail. meanwhile, if it is not nil, is done
// before the history is opened again.
func eachCall(t *testing.T, c calls, meanwhile func(*testing.T, *box)) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		for _, op := range interruptions {
			for _, done := range []bool{false, true} {
				if op.folders && strings.HasSuffix(t.Name(), "/native") || meanwhile != nil && (!op.moves || !done) {
					continue
				}
				t.Run(fmt.Sprintf("%s/done=%v", op.name, done), func(t *testing.T) {
					for at := 1; !op.interrupt(t, w, &calls{at: at, done: done, onwards: c.onwards}, meanwhile); at++ {
						if t.Failed() {
							return
						}
					}
				})
			}
		}
	})
}

// interrupt makes one call of the operation fail, and checks what comes of it. It
// reports whether there are fewer calls.
func (op *interruption) interrupt(t *testing.T, w *world, c *calls, meanwhile func(*testing.T, *box)) (none bool) {
	b := w.container(t, "c0ffee")
	defer b.gone(t)
	b.set(t, "a", "1")
	_, err := b.Seal(b.ctx, record("snapshot"))
	must(t, err)
	b.set(t, "a", "2")
	if op.prepare != nil {
		op.prepare(t, b)
	}
	err = op.do(b.through(c))
	if err != nil && c.where == "" {
		t.Fatal(err)
	}
	if c.where == "" {
		t.Logf("%d calls", c.n)
	}
	if meanwhile != nil {
		meanwhile(t, b)
	}
	if c.onwards {
		b.expire(t)
	}
	if op.pruned {
		must(t, b.Recover(b.ctx))
		_, err := b.Prune(b.ctx, containerstore.Retention{Keep: 3})
		must(t, err)
		if _, err := b.Snapshots.Stat(b.ctx, b.Container+".c2"); err == nil && b.parent(t) != b.Container+".c2" {
			t.Errorf("call %d, %s: what was merged is left, and the container stands on %s", c.at, c.where, b.parent(t))
		}
	}
	b.whole(t, fmt.Sprintf("call %d, %s (%v)", c.at, c.where, err))
	allowed := append([]string{op.after}, op.between...)
	if err != nil || c.onwards { // who has ended tells nobody
		allowed = append(allowed, op.before)
	}
	if got := b.state(t); !slices.Contains(allowed, got) {
		t.Errorf("after call %d, %s (%v): it is\n%s\nwant one of\n%s", c.at, c.where, err, got, strings.Join(allowed, "\n"))
	}
	return c.where == ""
}

// expire deletes the leases that expire.
func (b *box) expire(t *testing.T) {
	t.Helper()
	held, err := b.w.leases.List(b.w.ctx)
	must(t, err)
	for _, l := range held {
		if l.Labels["containerd.io/gc.expire"] != "" {
			must(t, b.w.leases.Delete(b.w.ctx, l))
		}
	}
}

// whole opens a container again, and checks that nothing is half done or left.
func (b *box) whole(t *testing.T, after string) {
	t.Helper()
	// The lease of an operation is deleted by who made it, or by the next start.
	must(t, b.w.leases.Delete(b.w.ctx, leases.Lease{ID: operation}))
	_, err := b.w.db.GarbageCollect(b.w.ctx)
	must(t, err)
	_, err = b.w.leases.Create(b.w.ctx, leases.WithID(operation))
	must(t, err)
	if err := errors.Join(b.Reopen(b.ctx, b.remake), b.Recover(b.ctx)); err != nil {
		t.Errorf("after %s: %v", after, err)
	}
	_, err = b.w.db.GarbageCollect(b.w.ctx)
	must(t, err)
	in, err := b.Inspect(b.ctx, func(ocispec.Descriptor, ocispec.Platform) error { return nil })
	must(t, err)
	for _, f := range in.Faults {
		t.Errorf("after %s: snapshot %s: %s", after, f.Snapshot, f.Text)
	}
	b.nothingLeft(t, after)
}

// nothingLeft looks for what no container needs.
func (b *box) nothingLeft(t *testing.T, after string) {
	t.Helper()
	stack, err := b.Stack(b.ctx)
	must(t, err)
	known := append(slices.Clone(stack.Own), stack.Init, stack.Base, image, b.Container+"-init")
	list, err := b.List(b.ctx)
	must(t, err)
	for _, r := range list {
		known = append(known, r.Snapshot)
	}
	must(t, b.w.snapshots.Walk(b.w.ctx, func(_ context.Context, i snapshots.Info) error {
		// What was merged for a container that then did not go there is used later.
		if !slices.Contains(known, i.Name) && !strings.HasPrefix(i.Name, b.Container+".c") && !strings.HasPrefix(i.Name, b.Container+".r3-init") {
			t.Errorf("after %s snapshot %s is left", after, i.Name)
		}
		return nil
	}))
	held, err := b.w.leases.List(b.w.ctx)
	must(t, err)
	if len(held) != 2 {
		t.Errorf("after %s there are leases %v", after, held)
	}
	statuses, err := b.w.content.(content.IngestManager).ListStatuses(b.w.ctx)
	must(t, err)
	if len(statuses) > 0 {
		t.Errorf("after %s there are unfinished blobs %v", after, statuses)
	}
	mounted, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounted), b.w.dir) {
		t.Errorf("after %s something is mounted below %s", after, b.w.dir)
	}
}
