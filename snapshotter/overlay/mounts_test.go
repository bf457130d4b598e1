package overlay_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

type creator = func(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error)

func TestMountShapes(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, overlay.WithMountOptions("volatile"))
	fs := func(id string) string { return filepath.Join(root, "snapshots", id, "fs") }
	commit(t, s, "one", "", "file", "1")
	commit(t, s, "two", "one", "file", "2")
	for _, c := range []struct {
		name, parent string
		view         bool
		want         mount.Mount
	}{
		{"active on nothing", "", false, mount.Mount{Type: "bind", Source: fs("3"), Options: []string{"rw", "rbind"}}},
		{"view on nothing", "", true, mount.Mount{Type: "bind", Source: fs("4"), Options: []string{"ro", "rbind"}}},
		{"view on one", "one", true, mount.Mount{Type: "bind", Source: fs("1"), Options: []string{"ro", "rbind"}}},
		{"view on two", "two", true, mount.Mount{Type: "overlay", Source: "overlay", Options: []string{
			"lowerdir=" + fs("2") + ":" + fs("1"), "volatile", "index=off"}}},
		{"active on one", "one", false, mount.Mount{Type: "overlay", Source: "overlay", Options: []string{
			"workdir=" + filepath.Join(root, "snapshots/7/work"), "upperdir=" + fs("7"), "lowerdir=" + fs("1"), "volatile", "index=off"}}},
		{"active on two", "two", false, mount.Mount{Type: "overlay", Source: "overlay", Options: []string{
			"workdir=" + filepath.Join(root, "snapshots/8/work"), "upperdir=" + fs("8"), "lowerdir=" + fs("2") + ":" + fs("1"), "volatile", "index=off"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			create := s.Prepare
			if c.view {
				create = s.View
			}
			got, err := create(t.Context(), c.name, c.parent)
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.Mounts(t.Context(), c.name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range [][]mount.Mount{got, again} {
				if len(m) != 1 || m[0].Type != c.want.Type || m[0].Source != c.want.Source || !slices.Equal(m[0].Options, c.want.Options) {
					t.Errorf("got %+v, want %+v", m, c.want)
				}
			}
		})
	}
}

func TestMappedIDs(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	if !slices.Contains(s.Capabilities(), overlay.CapabilityRemapIDs) {
		t.Skip("this kernel or file system maps no ids of overlays")
	}
	labels := snapshots.WithLabels(map[string]string{
		snapshots.LabelSnapshotUIDMapping: "0:666:1000,1000:6666:64536",
		snapshots.LabelSnapshotGIDMapping: "0:888:1000,1000:8888:64536",
	})
	commit(t, s, "one", "", "file", "1")
	commit(t, s, "two", "one", "file", "2")
	for _, parent := range []string{"", "one", "two"} {
		mounts, err := s.Prepare(t.Context(), "on "+parent, parent, labels)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"uidmap=0:666:1000,1000:6666:64536", "gidmap=0:888:1000,1000:8888:64536"}
		if got := mounts[0].Options; !slices.Equal(got[:2], want) {
			t.Errorf("on %q: options %q", parent, got)
		}
		checkOwner(t, upper(t, mounts), 666, 888)
		if parent != "" {
			mounted(t, mounts, func(dir string) { checkOwner(t, filepath.Join(dir, "file"), 666, 888) })
		}
	}
	// Who asks for no mapping gets the owner of the root below.
	if err := s.Commit(t.Context(), "mapped", "on two"); err != nil {
		t.Fatal(err)
	}
	mounts, err := s.Prepare(t.Context(), "unmapped", "mapped")
	if err != nil {
		t.Fatal(err)
	}
	checkOwner(t, upper(t, mounts), 666, 888)
}

func checkOwner(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
		t.Errorf("%s belongs to %d:%d, want %d:%d", path, st.Uid, st.Gid, uid, gid)
	}
}

func TestWrongMappings(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	for _, c := range []struct{ uids, gids string }{
		{"-1:-1:-2", "0:0:66666"},
		{"0:0:66666", "-1:-1:-2"},
		{"666:0:100", "0:0:100"},
		{"0:0:100", "666:0:100"},
		{"0:1:4294967295", "0:0:100"},
		{"0:0:100,50:500:100", "0:0:100"},
		{"0:4294967294:2", "0:0:100"},
		{"0:0:0", "0:0:100"},
		{"", "0:0:100"},
		{"0:0", "0:0:100"},
		{"0:0:1:1", "0:0:100"},
		{"0:0:1,", "0:0:100"},
		{"0:0:1, 1:1:1", "0:0:100"},
	} {
		_, err := s.Prepare(t.Context(), "key", "", snapshots.WithLabels(map[string]string{
			snapshots.LabelSnapshotUIDMapping: c.uids,
			snapshots.LabelSnapshotGIDMapping: c.gids,
		}))
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	checkEmpty(t, s, root)
}

// checkEmpty checks that there is no snapshot, nor any folder.
func checkEmpty(t *testing.T, s *overlay.Snapshotter, root string) {
	t.Helper()
	err := s.Walk(t.Context(), func(_ context.Context, info snapshots.Info) error {
		return fmt.Errorf("there is a snapshot: %+v", info)
	})
	if err != nil {
		t.Error(err)
	}
	if names := entries(t, filepath.Join(root, "snapshots")); len(names) > 0 {
		t.Errorf("there are folders: %q", names)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// chain commits n snapshots, each on the one before, under the names l<number>.
func chain(t *testing.T, s snapshots.Snapshotter, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		parent := ""
		if i > 1 {
			parent = fmt.Sprintf("l%d", i-1)
		}
		commit(t, s, fmt.Sprintf("l%d", i), parent, fmt.Sprintf("file%d", i), fmt.Sprint(i))
	}
}

func TestLongChains(t *testing.T) {
	// A root with a long name, and ids with five digits, as after months.
	root := filepath.Join(t.TempDir(), strings.Repeat("long", 10))
	s := open(t, root)
	skipIDs(t, s, root, 12000)
	s = open(t, root)
	chain(t, s, 1, 500)
	for _, n := range []int{2, 129, 250, 400, 437, 499, 500} {
		parent := fmt.Sprintf("l%d", n)
		for kind, create := range map[string]creator{"active": s.Prepare, "view": s.View} {
			mounts, err := create(t.Context(), kind+parent, parent)
			if err != nil {
				t.Fatal(err)
			}
			checkChain(t, mounts, n)
			if err := s.Remove(t.Context(), kind+parent); err != nil {
				t.Fatal(err)
			}
		}
	}
	if slices.Contains(s.Capabilities(), overlay.CapabilityRemapIDs) {
		mounts, err := s.Prepare(t.Context(), "mapped", "l500", snapshots.WithLabels(map[string]string{
			snapshots.LabelSnapshotUIDMapping: "0:666:65536",
			snapshots.LabelSnapshotGIDMapping: "0:888:65536",
		}))
		if err != nil {
			t.Fatal(err)
		}
		mounted(t, mounts, func(dir string) {
			checkOwner(t, filepath.Join(dir, "file1"), 666, 888)
			checkOwner(t, filepath.Join(dir, "file500"), 666, 888)
		})
		if err := s.Remove(t.Context(), "mapped"); err != nil {
			t.Fatal(err)
		}
	}
	chain(t, s, 501, 501)
	for kind, create := range map[string]creator{"active": s.Prepare, "view": s.View} {
		_, err := create(t.Context(), "too long", "l501")
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "501") || !strings.Contains(err.Error(), "500") {
			t.Errorf("%s on 501 layers: %v", kind, err)
		}
		if _, err := s.Stat(t.Context(), "too long"); !errdefs.IsNotFound(err) {
			t.Errorf("%s on 501 layers left a record: %v", kind, err)
		}
	}
	for i := 501; i > 0; i-- {
		if err := s.Remove(t.Context(), fmt.Sprintf("l%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	checkEmpty(t, s, root)
	if names := entries(t, filepath.Join(root, "l")); len(names) > 0 {
		t.Errorf("short names are left: %q", names)
	}
}

// checkChain mounts a chain of n snapshots and looks for the files of the
// lowest, the topmost and one between. What diff reads out of the mount must be
// the folders themselves.
func checkChain(t *testing.T, mounts []mount.Mount, n int) {
	t.Helper()
	mounted(t, mounts, func(dir string) {
		for _, i := range []int{1, n / 2, n} {
			if got := read(t, filepath.Join(dir, fmt.Sprintf("file%d", i))); i > 0 && got != fmt.Sprint(i) {
				t.Errorf("in a chain of %d file%d holds %q", n, i, got)
			}
		}
		if list := entries(t, dir); len(list) != n {
			t.Errorf("a chain of %d shows %d files", n, len(list))
		}
	})
	o, err := changes.ParseOverlay(mounts, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Lowers) != n {
		t.Errorf("a chain of %d has %d lowers", n, len(o.Lowers))
	}
	if info, err := os.Lstat(o.Lowers[0]); err != nil || !info.IsDir() {
		t.Errorf("the topmost lower is no folder: %v, %v", info, err)
	}
}
