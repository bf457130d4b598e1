package moves_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/imageservice/revisions"
	"github.com/baleen-project/baleen/integration/harness"
)

// readMeanwhile looks at a container while it moves.
func readMeanwhile(t *testing.T, m *mover) {
	ctx, stop := context.WithCancel(m.e.Context(t))
	var readers errgroup.Group
	for name, read := range map[string]func() error{
		"changes":   func() error { _, err := m.service.Changes(ctx, m.ctr); return err },
		"size":      func() error { _, _, err := m.service.GetContainerLayerSize(ctx, m.ctr.ID); return err },
		"state":     func() error { _, err := m.service.RevisionStore().State(ctx, m.ctr.ID); return err },
		"revisions": func() error { _, err := m.service.RevisionStore().Revisions(ctx, m.ctr); return err },
		"layer":     func() error { _, err := m.service.GetLayerByID(m.ctr.ID); return err },
	} {
		readers.Go(func() error {
			for ctx.Err() == nil {
				if err := read(); err != nil && ctx.Err() == nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	for range 10 {
		m.snapshot(t)
		move, err := m.service.RevisionStore().PrepareRollback(t.Context(), m.ctr, revisions.RollbackOptions{Revision: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := move.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
}

// rootDirectory changes the root directory itself, which only the topmost
// layer tells.
func rootDirectory(t *testing.T, m *mover) {
	m.do(t, "chmod 1775 . && chown 5:6 .")
	root := func(f func(root string) error) {
		t.Helper()
		mounts, err := m.client.SnapshotService(m.ctr.Driver).Mounts(t.Context(), m.ctr.ID)
		if err == nil {
			err = mount.WithTempMount(t.Context(), mounts, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root(func(root string) error { return unix.Setxattr(root, "user.root", []byte("x"), 0) })
	check := func(what string) {
		t.Helper()
		if got := m.do(t, "stat -c '%a %u:%g' ."); got != "1775 5:6" {
			t.Errorf("after %s the root is %q", what, got)
		}
		root(func(root string) error {
			value := make([]byte, 10)
			n, err := unix.Getxattr(root, "user.root", value)
			if err != nil || string(value[:n]) != "x" {
				t.Errorf("after %s the root's attribute is %q, %v", what, value[:max(n, 0)], err)
			}
			return nil
		})
	}
	check("the change")
	m.snapshot(t)
	check("a snapshot")
	m.mounted.Store(true)
	m.snapshot(t)
	m.mounted.Store(false)
	m.do(t, "chmod 755 . && chown 0:0 .")
	m.rollback(t, revisions.RollbackOptions{Revision: 2})
	check("going back to one of the running container")
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	check("an upgrade")
	m.do(t, "chmod 755 . && chown 0:0 .")
	m.rollback(t, revisions.RollbackOptions{})
	check("a rollback")
}

// reservedNames keeps files that an image's layers cannot hold.
func reservedNames(t *testing.T, m *mover) {
	m.do(t, "echo x > data/.wh.b; echo b > data/b")
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	want := []string{"app/conf=mine", "app/only2=2", "app/version=v2", "data/.wh.b=x", "data/a=mine", "data/b=b"}
	m.has(t, want...)
	m.mounted.Store(true)
	m.snapshot(t)
	m.mounted.Store(false)
	m.rollback(t, revisions.RollbackOptions{Revision: 3})
	m.has(t, want...)
}

// leftovers: a container can be used also while something stands on what an
// interrupted move of it has left. That goes as soon as it can.
func leftovers(t *testing.T, m *mover) {
	id := m.ctr.ID
	ctx, done, err := m.client.WithLease(m.e.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := done(m.e.Context(t)); err != nil {
			t.Error(err)
		}
	}()
	sn := m.client.SnapshotService(harness.Snapshotter)
	left, on := id+".r9", "stands-on-"+id
	labels := snapshots.WithLabels(map[string]string{"io.baleen.container": id, "io.baleen.pending": "1"})
	_, err = sn.Prepare(ctx, left+"-key", "")
	if err == nil {
		err = sn.Commit(ctx, left, left+"-key", labels)
	}
	if err == nil {
		_, err = sn.Prepare(ctx, on, left)
	}
	if err != nil {
		t.Fatal(err)
	}
	again := newMover(t, m.e, m.client, id) // as at the next start of the daemon
	layer, _, err := again.service.RevisionStore().LoadLayer(t.Context(), again.ctr, nil)
	if err != nil {
		t.Errorf("the container cannot be used: %v", err)
	}
	if !again.service.IsDoubtful(layer) {
		t.Error("what is left is forgotten")
	}
	if err := sn.Remove(ctx, on); err != nil {
		t.Fatal(err)
	}
	if layer, _, err = again.service.RevisionStore().LoadLayer(t.Context(), again.ctr, nil); err != nil || again.service.IsDoubtful(layer) {
		t.Errorf("with nothing on what is left the container is doubtful, %v", err)
	}
	if _, err := sn.Stat(ctx, left); !errdefs.IsNotFound(err) {
		t.Errorf("what an interrupted move has left is there: %v", err)
	}
}
