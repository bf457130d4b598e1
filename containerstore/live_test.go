package containerstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

func unpaused() (thaw func()) { return func() {} }

// live makes a live revision.
func (b *box) live(t *testing.T) containerstore.Revision {
	t.Helper()
	r, err := b.SealLive(b.ctx, record("snapshot"), unpaused)
	must(t, err)
	return r
}

// liveBox is a container of a daemon that remembers its live revisions.
func liveBox(t *testing.T) *box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("snapshots are root's")
	}
	t.Parallel()
	w := newWorld(t, func(root string) (snapshots.Snapshotter, error) { return overlay.New(root) })
	b := w.container(t, "box")
	b.Live = &containerstore.LiveSeals{}
	return b
}

// on fails the test if a revision does not stand on a snapshot of the container.
func (b *box) on(t *testing.T, r containerstore.Revision, parent string) {
	t.Helper()
	i, err := b.Snapshots.Stat(b.ctx, r.Snapshot)
	must(t, err)
	if i.Parent != b.Container+parent {
		t.Errorf("revision %d stands on %s, want %s%s", r.Number, i.Parent, b.Container, parent)
	}
}

// is fails the test if the container and its revisions are not that.
func (b *box) is(t *testing.T, want string) {
	t.Helper()
	if got := b.state(t); got != want {
		t.Errorf("the container is %q\nwant %q", got, want)
	}
}

// names are what lies in the folder of a revision.
func (b *box) names(t *testing.T, r containerstore.Revision) string {
	t.Helper()
	layers, err := b.Layers(b.ctx, r.Snapshot)
	must(t, err)
	entries, err := os.ReadDir(layers.Lowers[0])
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// age waits until what was written can be trusted.
func age() { time.Sleep(40 * time.Millisecond) }

// large is content by which all that a container has is worth more than what changes.
func large(text string) string { return strings.Repeat(text, 16<<10) }

// TestLiveRevisions: a live revision stands on the last one, and holds what has changed
// since. Any can be gone back to.
func TestLiveRevisions(t *testing.T) {
	b := liveBox(t)
	defer b.gone(t)
	b.set(t, "large", large("1"))
	b.set(t, "a", "1")
	age()
	first := b.live(t)
	b.on(t, first, "-init")
	b.set(t, "a", "2")
	b.set(t, "b", "1")
	second := b.live(t)
	b.on(t, second, ".r1")
	if got := b.names(t, second); got != "a b" {
		t.Errorf("the second live revision holds %q", got)
	}
	age()
	third := b.live(t) // b was young
	b.on(t, third, ".r2")
	fourth := b.live(t)
	if got := b.names(t, fourth); got != "" {
		t.Errorf("a live revision without a change holds %q", got)
	}
	if n, err := b.Nearest(b.ctx); n != 4 || err != nil {
		t.Errorf("the nearest revision is %d, %v", n, err)
	}
	big := "large=" + large("1")
	r1, r2 := "a=1 "+big, "a=2 b=1 "+big
	b.is(t, "1<0 2<0 3<0 4<0 "+r2+"; r1 "+r1+"; r2 "+r2+"; r3 "+r2+"; r4 "+r2)

	_, err := b.Switch(b.ctx, 2, record("before"))
	must(t, err)
	b.set(t, "c", "1")
	sixth := b.live(t) // of another active snapshot
	b.on(t, sixth, ".r2")
	if got := b.names(t, sixth); got != "c" {
		t.Errorf("the first live revision after a rollback holds %q", got)
	}
	if n, err := b.Nearest(b.ctx); n != 6 || err != nil {
		t.Errorf("after a rollback the nearest revision is %d, %v", n, err)
	}
	if layers, err := b.Since(b.ctx, func(containerstore.Record) bool { return false }); layers != 1 || err != nil {
		t.Errorf("after a rollback %d layers have changed, %v", layers, err)
	}
	seventh, err := b.Seal(b.ctx, record("stopped"))
	must(t, err)
	b.on(t, seventh, ".r2")
	b.on(t, b.live(t), ".r7")
}

// TestLiveRevisionsAfterARestart: what is known is known in memory alone.
func TestLiveRevisionsAfterARestart(t *testing.T) {
	b := liveBox(t)
	defer b.gone(t)
	b.set(t, "large", large("1"))
	age()
	b.live(t)
	b.live(t)
	for _, known := range []*containerstore.LiveSeals{{}, nil} {
		b.Live = known
		b.set(t, "a", "2")
		r := b.live(t)
		b.on(t, r, "-init")
		if got := b.names(t, r); got != "a large" {
			t.Errorf("without a memory a live revision holds %q", got)
		}
	}
	b.Live = &containerstore.LiveSeals{}
	b.live(t)
	b.Live.Forget(b.Container)
	b.on(t, b.live(t), "-init")
}

// TestLiveRevisionsPruned: of a revision that is pruned the layer stays as long as another
// one stands on it. If none does the next live revision copies all.
func TestLiveRevisionsPruned(t *testing.T) {
	b := liveBox(t)
	defer b.gone(t)
	b.set(t, "large", large("1"))
	age()
	b.live(t)
	for i := range 3 {
		b.set(t, "a", fmt.Sprint(i))
		b.live(t)
	}
	pruned, err := b.Prune(b.ctx, containerstore.Retention{Keep: 1})
	must(t, err)
	if fmt.Sprint(pruned.Removed) != "[1 2 3]" || pruned.Held < int64(len(large("1"))) {
		t.Errorf("pruned %+v", pruned)
	}
	now := "a=2 large=" + large("1")
	b.is(t, "4<0 "+now+"; r4 "+now)
	fifth := b.live(t)
	b.on(t, fifth, ".r4")
	b.is(t, "4<0 5<0 "+now+"; r4 "+now+"; r5 "+now)
	if _, err := b.Prune(b.ctx, containerstore.Retention{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Snapshots.Stat(b.ctx, b.Container+".r1"); !errdefs.IsNotFound(err) {
		t.Errorf("the layer of a revision that nothing stands on: %v", err)
	}
	sixth := b.live(t)
	b.on(t, sixth, "-init")
	b.is(t, "6<0 "+now+"; r6 "+now)
}

// TestLiveRevisionsAreNotTooMany: a container that goes back to the last of many live
// revisions stands on no more layers than it may have, and what was overwritten does not
// take more than what is there.
func TestLiveRevisionsAreNotTooMany(t *testing.T) {
	b := liveBox(t)
	defer b.gone(t)
	b.MaxLayers = 4
	b.set(t, "large", large("1"))
	age()
	for i := range 10 {
		b.set(t, "a", fmt.Sprint(i))
		r := b.live(t)
		layers, err := b.Layers(b.ctx, r.Snapshot)
		must(t, err)
		if own := len(layers.Lowers) - 2 + 1; own > b.MaxLayers { // without init layer and image, with the active one
			t.Errorf("a container on revision %d has %d layers of its own", r.Number, own)
		}
	}
	b.MaxLayers = 0
	parents := map[string]bool{}
	for i := range 6 {
		b.set(t, "large", large(fmt.Sprint(i)))
		i, err := b.Snapshots.Stat(b.ctx, b.live(t).Snapshot)
		must(t, err)
		parents[i.Parent] = true
	}
	if !parents[b.Container+"-init"] || len(parents) < 3 {
		t.Errorf("with all overwritten again and again the revisions stand on %v", parents)
	}
}

// TestLiveRevisionCopiesAllAfterAFailure: if the last live revision is not what it was,
// nothing is built on it.
func TestLiveRevisionCopiesAllAfterAFailure(t *testing.T) {
	b := liveBox(t)
	defer b.gone(t)
	b.set(t, "large", large("1"))
	age()
	first := b.live(t)
	layers, err := b.Layers(b.ctx, first.Snapshot)
	must(t, err)
	must(t, os.Rename(layers.Lowers[0], layers.Lowers[0]+"-lost"))
	second := b.live(t)
	b.on(t, second, "-init")
	must(t, os.Rename(layers.Lowers[0]+"-lost", layers.Lowers[0]))
	now := "large=" + large("1")
	b.is(t, "1<0 2<0 "+now+"; r1 "+now+"; r2 "+now)
}

// TestLiveRevisionOfAnotherActiveSnapshot: a container of the same id, on the same image,
// whose files lie elsewhere.
func TestLiveRevisionOfAnotherActiveSnapshot(t *testing.T) {
	b := liveBox(t)
	defer b.gone(t)
	b.set(t, "large", large("1"))
	age()
	b.live(t)
	must(t, b.Snapshots.Remove(b.ctx, b.Container))
	_, err := b.Snapshots.Prepare(b.ctx, b.Container, b.Container+"-init", snapshots.WithLabels(map[string]string{"io.baleen.container": b.Container}))
	must(t, err)
	b.set(t, "large", large("2"))
	r := b.live(t)
	b.on(t, r, "-init")
	b.is(t, "1<0 2<0 large="+large("2")+"; r1 large="+large("1")+"; r2 large="+large("2"))
}
