package history_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/fault/lossydisk"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestLostWrites snapshots a container that runs, while the disk of the snapshots
// loses what is copied, and somebody else is told of that before it is synced. The
// snapshot must fail, and leave nothing.
func TestLostWrites(t *testing.T) {
	disk := lossydisk.New(t)
	e := harness.Start(t, stack.Config{
		ContainerdConfig: fmt.Sprintf("[plugins.'io.containerd.snapshotter.v1.overlayfs']\nroot_path = %q\n", filepath.Join(disk.Dir, "snapshots")),
	})
	k := newKept(t, e, "loses", harness.Snapshotter)
	k.do(t, func(root string) {
		for n := range 30 {
			harness.WriteFile(t, filepath.Join(root, fmt.Sprint(n)), strings.Repeat(fmt.Sprint(n), 100<<10))
		}
	})
	before := e.StateAtRest(t)
	_, err := k.SealLive(k.ctx, harness.NewRecord("lost"), func() (thaw func()) {
		disk.Fill(t)
		return func() {
			if err := disk.SyncOther(); err == nil {
				t.Error("the disk has lost nothing")
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), "sync file system of "+disk.Dir) {
		t.Errorf("a snapshot whose data are lost gave %v", err)
	}
	disk.Free(t)
	k.listed(t, "")
	e.Settled(t, before)
	r, err := k.SealLive(k.ctx, harness.NewRecord("kept"), func() (thaw func()) { return func() {} })
	if err != nil {
		t.Fatal(err)
	}
	folder := e.SealedFolder(t, r.Snapshot)
	for n := range 30 {
		if text, err := os.ReadFile(filepath.Join(folder, fmt.Sprint(n))); err != nil || string(text) != strings.Repeat(fmt.Sprint(n), 100<<10) {
			t.Errorf("when the disk is well again, file %d was kept with %d bytes, %v", n, len(text), err)
		}
	}
}
