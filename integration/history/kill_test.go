package history_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKilledContainerd kills containerd while it seals what a container wrote.
// Nothing of that may be lost: Commit of the container's own snapshot would
// lose it where containerd ends between its two databases.
func TestKilledContainerd(t *testing.T) {
	const rounds, within = 16, 24 * time.Millisecond
	e := harness.Start(t, stack.Config{})
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := newKept(t, e, "killed", harness.Snapshotter)
	k.write(t, "a", "0")
	k.seal(t)
	completed := 0
	for round := 1; round <= rounds && !t.Failed(); round++ {
		now := fmt.Sprint(round)
		k.write(t, "a", now)
		done := make(chan error, 1)
		go func() {
			var err error
			if round%2 == 0 {
				_, err = k.Seal(k.ctx, harness.NewRecord("snapshot"))
			} else {
				_, err = k.Switch(k.ctx, 1, harness.NewRecord("before"))
			}
			done <- err
		}()
		time.Sleep(rand.N(within))
		if err := e.KillContainerd(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := e.StartContainerd(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil {
			completed++
		}
		harness.Eventually(t, "the container to be recovered", func() error { return k.Recover(k.ctx) })
		k.holds(t, now)
	}
	t.Logf("containerd was killed %d times; %d operations had ended before or went on after it", rounds, completed)
}

// holds checks that the container's file has a value, or that it went to
// revision 1 and its last revision has it.
func (k *kept) holds(t *testing.T, value string) {
	t.Helper()
	has := k.has(t)["a"]
	if has == value {
		return
	}
	all, err := k.List(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	if has != "0" || last.Kind != "before" {
		t.Fatalf("the file has %q, and the last revision is %+v; %q is lost", has, last, value)
	}
	k.goTo(t, last)
	if has := k.has(t)["a"]; has != value {
		t.Errorf("the file had %q, and in the last revision %q; %q is lost", "0", has, value)
	}
}

func (k *kept) goTo(t *testing.T, r containerstore.Revision) {
	t.Helper()
	harness.Eventually(t, "a switch", func() error { _, err := k.Switch(k.ctx, r.Number, harness.NewRecord("before")); return err })
}

// TestRecoverRemovesFilled: what a merge was filling when it was cut stands on
// the init layer that was made for it, and both are removed.
func TestRecoverRemovesFilled(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	k := newKept(t, e, "filled", harness.Snapshotter)
	for range 8 { // they are found in any order
		on, err := k.PendingInit(k.ctx, 1, k.Container+"-base1", containerstore.IDs{}, func([]mount.Mount) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		label := snapshots.WithLabels(map[string]string{"io.baleen.container": k.Container})
		if _, err := k.Snapshots.Prepare(k.ctx, k.Container+".r1-key", on, label); err != nil {
			t.Fatal(err)
		}
		if err := k.Recover(k.ctx); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{on, k.Container + ".r1-key"} {
			if _, err := k.Snapshots.Stat(k.ctx, name); !errdefs.IsNotFound(err) {
				t.Errorf("snapshot %s is there: %v", name, err)
			}
		}
	}
}
