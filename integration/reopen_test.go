package integration_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestReopen looks after containers as a daemon does that finds them when it
// starts.
func TestReopen(t *testing.T) {
	e := newEnv(t, stack.Config{})
	t.Run("the disk is not mounted", func(t *testing.T) { reopenUnmounted(t, newKept(t, e, "unmounted", snapshotter)) })
}

// folder is that of the container's active snapshot.
func (k *kept) folder(t *testing.T) string {
	t.Helper()
	return filepath.Dir(topLayer(t, k.e.activeMounts(t, k.Snapshotter, k.Container)))
}

// reopenUnmounted finds none of the folders: the snapshots' disk is elsewhere, and
// the container must be what it was when it is back.
func reopenUnmounted(t *testing.T, k *kept) {
	k.write(t, "a", "1")
	k.seal(t)
	k.write(t, "b", "2")
	disk := filepath.Dir(k.folder(t))
	if err := os.Rename(disk, disk+".away"); err != nil {
		t.Fatal(err)
	}
	back := func() {
		if err := os.RemoveAll(disk); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(disk+".away", disk); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(disk, 0o700); err != nil {
		back()
		t.Fatal(err)
	}
	err := k.Reopen(k.ctx)
	back()
	if err == nil {
		t.Error("nothing was said to be wrong")
	}
	t.Log(err)
	if err := k.Reopen(k.ctx); err != nil {
		t.Error(err)
	}
	k.must(t, map[string]string{"a": "1", "b": "2"})
}
