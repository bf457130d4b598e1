package history_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestReopen looks after containers as a daemon does that finds them when it
// starts.
func TestReopen(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	t.Run("the disk is not mounted", func(t *testing.T) { reopenUnmounted(t, newKept(t, e, "unmounted", harness.Snapshotter)) })
}

// failingMerge fails to prepare a snapshot on merged layers, so often.
type failingMerge struct {
	snapshots.Snapshotter
	times int
}

func (s *failingMerge) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	if strings.Contains(parent, ".c") && s.times > 0 {
		s.times--
		return nil, errors.New("no answer")
	}
	return s.Snapshotter.Prepare(ctx, key, parent, opts...)
}

// TestMergeThatFails: a container has an active snapshot also if containerd fails
// when its merged layers get one, or its next operation is told that it has none.
func TestMergeThatFails(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	for _, times := range []int{2, 20} {
		for name, seal := range map[string]func(*kept) error{
			"revision": func(k *kept) error {
				k.MaxLayers = 2
				_, err := k.Seal(k.ctx, harness.NewRecord("snapshot"))
				return err
			},
			"layer": func(k *kept) error { k.MaxSealed = 2; return k.SealLayer(k.ctx, true) },
		} {
			k := newKept(t, e, fmt.Sprint("merge-", name, times), harness.Snapshotter)
			k.write(t, "a", "1")
			if err := k.SealLayer(k.ctx, true); err != nil {
				t.Fatal(err)
			}
			k.write(t, "b", "2")
			sn := k.Snapshots
			k.Snapshots = &failingMerge{sn, times}
			if err := seal(k); (err != nil) != (times == 20) {
				t.Errorf("%s, containerd fails %d times: %v", name, times, err)
			}
			k.Snapshots = sn
			if times == 20 {
				if err := k.Recover(k.ctx); err != nil {
					t.Error(err)
				}
			}
			k.must(t, map[string]string{"a": "1", "b": "2"})
		}
	}
}

// folder is that of the container's active snapshot.
func (k *kept) folder(t *testing.T) string {
	t.Helper()
	return filepath.Dir(harness.TopLayer(t, k.e.ActiveMounts(t, k.Snapshotter, k.Container)))
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
	err := k.Reopen(k.ctx, containerstore.Remake{})
	back()
	if err == nil {
		t.Error("nothing was said to be wrong")
	}
	t.Log(err)
	if err := k.Reopen(k.ctx, containerstore.Remake{}); err != nil {
		t.Error(err)
	}
	k.must(t, map[string]string{"a": "1", "b": "2"})
}
