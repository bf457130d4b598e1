package history_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/integration/harness"
)

// kept is a container as Moby lays it out, without Moby.
type kept struct {
	*containerstore.History
	e   *harness.Env
	ctx context.Context // with the lease of an operation
	ids containerstore.IDs
}

// newKept makes a container on a base of two layers and an init layer.
func newKept(t *testing.T, e *harness.Env, id, snapshotterName string) *kept {
	t.Helper()
	return newMappedKept(t, e, id, snapshotterName, containerstore.IDs{})
}

// newMappedKept makes one whose ids may be mapped.
func newMappedKept(t *testing.T, e *harness.Env, id, snapshotterName string, ids containerstore.IDs) *kept {
	t.Helper()
	ctx := e.Context(t)
	manager := e.Client.LeasesService()
	for _, lease := range []string{id, id + "-operation"} {
		if _, err := manager.Create(ctx, leases.WithID(lease)); err != nil {
			t.Fatal(err)
		}
	}
	k := &kept{e: e, ids: ids, ctx: leases.WithLease(ctx, id+"-operation"), History: &containerstore.History{
		Container: id, Snapshotter: snapshotterName, Snapshots: e.Client.SnapshotService(snapshotterName),
		Content: e.Client.ContentStore(), Leases: manager, Tasks: e.Client.TaskService(), Lease: id, Differ: e.Client.DiffService(),
	}}
	t.Cleanup(func() { k.gone(t) })
	birth := leases.WithLease(ctx, id)
	parent := ""
	for _, layer := range []struct{ name, file string }{{id + "-base1", "one"}, {id + "-base2", "two"}, {id + "-init", ".dockerenv"}} {
		mounts, err := k.Snapshots.Prepare(birth, layer.name+"-key", parent)
		if err != nil {
			t.Fatal(err)
		}
		k.in(t, mounts, func(root string) { harness.WriteFile(t, filepath.Join(root, layer.file), layer.file) })
		if err := k.Snapshots.Commit(birth, layer.name, layer.name+"-key", snapshots.WithLabels(ids.InitLabels())); err != nil {
			t.Fatal(err)
		}
		parent = layer.name
	}
	if _, err := k.Snapshots.Prepare(birth, id, parent, snapshots.WithLabels(ids.ActiveLabels())); err != nil {
		t.Fatal(err)
	}
	return k
}

// gone removes the container by its leases, and checks that all of it goes.
func (k *kept) gone(t *testing.T) {
	ctx := context.WithoutCancel(k.e.Context(t))
	for _, lease := range []string{k.Container, k.Container + "-operation"} {
		if err := k.Leases.Delete(ctx, leases.Lease{ID: lease}, leases.SynchronousDelete); err != nil {
			t.Error(err)
		}
	}
	err := k.Snapshots.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Name, k.Container) {
			t.Errorf("snapshot %s outlives its container", i.Name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (k *kept) in(t *testing.T, mounts []mount.Mount, f func(root string)) {
	t.Helper()
	err := mount.WithTempMount(context.Background(), mounts, func(root string) error { f(root); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// do changes the container's files.
func (k *kept) do(t *testing.T, f func(root string)) {
	t.Helper()
	mounts, err := k.Snapshots.Mounts(k.ctx, k.Container)
	if err != nil {
		t.Fatal(err)
	}
	k.in(t, mounts, f)
}

// has is the names and contents of the container's files.
func (k *kept) has(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	k.do(t, func(root string) {
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			text, err := os.ReadFile(filepath.Join(root, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			files[entry.Name()] = string(text)
			k.owned(t, filepath.Join(root, entry.Name()))
		}
	})
	return files
}

// owned checks that a file belongs to the user namespace, and a file that write
// wrote to its user 5.
func (k *kept) owned(t *testing.T, path string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	uid, err := k.ids.Map.ToContainer(st.Uid, idmap.UserID)
	if err != nil || (uid == 5) != (filepath.Base(path) == "a" && !k.ids.Map.Empty()) {
		t.Errorf("%s belongs to %d, %v", path, st.Uid, err)
	}
}

func (k *kept) must(t *testing.T, want map[string]string) {
	t.Helper()
	all := map[string]string{"one": "one", "two": "two", ".dockerenv": ".dockerenv"}
	maps.Copy(all, want)
	maps.DeleteFunc(all, func(_, text string) bool { return text == "-" })
	if got := k.has(t); !maps.Equal(got, all) {
		t.Errorf("the container has %v, want %v", got, all)
	}
}

func (k *kept) write(t *testing.T, name, text string) {
	t.Helper()
	k.do(t, func(root string) {
		harness.WriteFile(t, filepath.Join(root, name), text)
		if uid, err := k.ids.Map.ToHost(5, idmap.UserID); err == nil && !k.ids.Map.Empty() {
			if err := os.Chown(filepath.Join(root, name), int(uid), int(uid)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func (k *kept) seal(t *testing.T) containerstore.Revision {
	t.Helper()
	r, err := k.Seal(k.ctx, harness.NewRecord("snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (k *kept) to(t *testing.T, n int) containerstore.Revision {
	t.Helper()
	r, err := k.Switch(k.ctx, n, harness.NewRecord("before"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// list tells each revision as number<previous, with a star on the current one.
func (k *kept) list(t *testing.T) string {
	t.Helper()
	all, err := k.List(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, r := range all {
		text := fmt.Sprint(r.Number, "<", r.Previous)
		if r.Current {
			text += "*"
		}
		told = append(told, text)
	}
	return strings.Join(told, " ")
}

func (k *kept) listed(t *testing.T, want string) {
	t.Helper()
	if got := k.list(t); got != want {
		t.Errorf("the revisions are %s, want %s", got, want)
	}
}
