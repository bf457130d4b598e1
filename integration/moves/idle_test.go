package moves_test

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/imageservice/revisions"
)

// runsByItsRecord: the daemon's record says that a container runs, and neither
// containerd nor a mount tells of it.
func runsByItsRecord(t *testing.T, m *mover) {
	m.ctr.Running = true
	staysInPlace(t, m, "it is running")
	m.ctr.Running = false
	if r := m.snapshot(t); !r.Current {
		t.Errorf("a snapshot of the stopped container is %+v", r)
	}
}

// mountedUncounted: a container's root is mounted, and the mounter counts nobody, as
// after an unmount that failed.
func mountedUncounted(t *testing.T, m *mover) {
	root := t.TempDir()
	if err := mount.All(m.e.ActiveMounts(t, m.ctr.Driver, m.ctr.ID), root); err != nil {
		t.Fatal(err)
	}
	unmount := func() error { return mount.UnmountAll(root, unix.MNT_DETACH) }
	defer unmount() //nolint:errcheck // only if the test ends before
	staysInPlace(t, m, root)
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
	if r := m.snapshot(t); !r.Current {
		t.Errorf("a snapshot of the stopped container is %+v", r)
	}
}

// staysInPlace checks that a container that may be in use is copied by a snapshot,
// and not moved; a refusal says why.
func staysInPlace(t *testing.T, m *mover, why string) {
	t.Helper()
	before := m.e.ActiveSnapshot(t, m.ctr.ID)
	if r := m.snapshot(t); r.Current {
		t.Errorf("a snapshot of a container in use is %+v", r)
	}
	_, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "its files are in use") || !strings.Contains(err.Error(), why) {
		t.Errorf("an upgrade gave %v", err)
	}
	_, err = m.service.RevisionStore().PrepareRollback(t.Context(), m.ctr, revisions.RollbackOptions{Revision: 1})
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "its files are in use") {
		t.Errorf("a rollback gave %v", err)
	}
	if now := m.e.ActiveSnapshot(t, m.ctr.ID); !now.Created.Equal(before.Created) {
		t.Error("the snapshot of a container in use was replaced")
	}
}
