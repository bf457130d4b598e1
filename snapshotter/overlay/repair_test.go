package overlay_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	stock "github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

func TestStartTakesUpWhatIsLeft(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	commit(t, s, "kept", "", "file", "1")
	commit(t, s, "lost", "kept", "file", "2")
	if _, err := s.View(t.Context(), "view", "kept"); err != nil { // has no folder, and needs none
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "snapshots")
	for _, name := range []string{"new-1/fs", "new-2", "rm-3-abc/fs/sub", "77/fs", "lost+found", "07"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"1", "2", "zzz"} {
		if err := os.Symlink("nowhere", filepath.Join(root, "l", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "2")); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log.L.Logger.SetOutput(&said)
	defer log.L.Logger.SetOutput(os.Stderr)
	s, err := overlay.New(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, dir); !reflect.DeepEqual(got, []string{"07", "1", "lost+found"}) {
		t.Errorf("left: %q", got)
	}
	if got := entries(t, filepath.Join(root, "l")); !reflect.DeepEqual(got, []string{"1", "2"}) {
		t.Errorf("short names left: %q", got)
	}
	if text := said.String(); !strings.Contains(text, "level=error") || !strings.Contains(text, "snapshot=lost") {
		t.Errorf("the log says %s", text)
	}
	report, err := s.Check(t.Context())
	want := overlay.Report{
		Missing: []overlay.Missing{{Key: "lost", Kind: snapshots.KindCommitted, Folder: filepath.Join(dir, "2")}},
		Strange: []string{"07", "lost+found"},
	}
	if err != nil || !reflect.DeepEqual(report, want) {
		t.Errorf("got %+v, %v; want %+v", report, err, want)
	}
	if err := s.Remove(t.Context(), "lost"); err != nil {
		t.Errorf("remove a snapshot without a folder: %v", err)
	}
}

func TestCheckLooksIntoFolders(t *testing.T) {
	root := t.TempDir()
	s, err := overlay.New(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit(t, s, "one", "", "file", "1")
	for _, key := range []string{"a", "b"} {
		if _, err := s.Prepare(t.Context(), key, "one"); err != nil {
			t.Fatal(err)
		}
	}
	var want overlay.Report
	for _, m := range []overlay.Missing{
		{Key: "one", Kind: snapshots.KindCommitted, Folder: filepath.Join(root, "snapshots/1/fs")},
		{Key: "a", Kind: snapshots.KindActive, Folder: filepath.Join(root, "snapshots/2/work")},
		{Key: "b", Kind: snapshots.KindActive, Folder: filepath.Join(root, "snapshots/3/fs")},
	} {
		if err := os.RemoveAll(m.Folder); err != nil {
			t.Fatal(err)
		}
		want.Missing = append(want.Missing, m)
	}
	if got, err := s.Check(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, key := range []string{"a", "b"} {
		if err := s.Remove(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

// TestLostRecords has the whole database vanish. Then the folders are all that
// is left of the snapshots, and must not be taken for leftovers.
func TestLostRecords(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	commit(t, s, "one", "", "file", "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(root, "metadata.db")
	if err := os.Rename(db, db+".kept"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := overlay.New(root); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("open without records: %v", err)
		}
	}
	write(t, db, "") // as after a power cut
	if _, err := overlay.New(root); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("open with an empty database: %v", err)
	}
	if err := os.Rename(db+".kept", db); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	if mounts, err := s.View(t.Context(), "view", "one"); err != nil || read(t, filepath.Join(mounts[0].Source, "file")) != "1" {
		t.Error(err)
	}
}

func TestOpenTwice(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	begin := time.Now()
	if _, err := overlay.New(root, overlay.WithPatience(100*time.Millisecond)); !errdefs.IsUnavailable(err) {
		t.Errorf("open for the second time: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	commit(t, s, "one", "", "file", "1")
}

func TestUnusableRoots(t *testing.T) {
	for _, name := range []string{"a:b", "a,b", `a\b`} {
		if _, err := overlay.New(filepath.Join(t.TempDir(), name)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemoveIsInTheBackground(t *testing.T) {
	root := t.TempDir()
	proceed := make(chan struct{})
	var held atomic.Bool
	s, err := overlay.New(root, overlay.WithHook(func(at string) error {
		if at == "deleting" && held.Load() {
			<-proceed
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		commit(t, s, fmt.Sprint(i), "", "file", "1")
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	held.Store(true)
	for i := range 5 {
		if err := s.Remove(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(t.Context(), fmt.Sprint(i), ""); err != nil { // its name is free
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Cleanup(ctx); err == nil {
		t.Error("Cleanup does not wait")
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close does not wait for a deletion that has begun: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(proceed)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := strings.Count(strings.Join(entries(t, filepath.Join(root, "snapshots")), " "), "rm-"); n != 3 {
		t.Errorf("Close left %d folders, want those 3 that no worker had begun", n)
	}
	s = open(t, root)
	if err := s.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(entries(t, filepath.Join(root, "snapshots"))); n != 5 {
		t.Errorf("%d folders are left, want 5", n)
	}
}

func TestRemoveWhileMounted(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	commit(t, s, "one", "", "file", "1")
	mounts, err := s.Prepare(t.Context(), "active", "one")
	if err != nil {
		t.Fatal(err)
	}
	mounted(t, mounts, func(dir string) {
		write(t, filepath.Join(dir, "new"), "2")
		if err := s.Remove(t.Context(), "active"); err != nil {
			t.Error(err)
		}
		if err := s.Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		if got := read(t, filepath.Join(dir, "file")); got != "1" {
			t.Errorf("what is below shows %q", got)
		}
	})
}

// TestMountInRemoved has something mounted in a snapshot that is removed.
func TestMountInRemoved(t *testing.T) {
	root, precious := filepath.Join(t.TempDir(), "link"), t.TempDir()
	if err := os.Symlink(t.TempDir(), root); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(precious, "file"), "1")
	s := open(t, root)
	mounts, err := s.Prepare(t.Context(), "active", "")
	if err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(upper(t, mounts), "volume")
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(precious, point, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "active"); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Cleanup(t.Context()); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("clean up with a mount in a removed snapshot: %v", err)
		}
	}
	if got := read(t, filepath.Join(precious, "file")); got != "1" {
		t.Errorf("what was mounted holds %q", got)
	}
	dir := filepath.Join(root, "snapshots")
	if err := unix.Unmount(filepath.Join(dir, entries(t, dir)[0], "fs/volume"), 0); err != nil {
		t.Errorf("unmount: %v", err)
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	checkEmpty(t, s, root)
}

// TestUsageOfBusy measures a folder while another makes, removes and replaces
// what is in it, also by links to elsewhere.
func TestUsageOfBusy(t *testing.T) {
	s := open(t, t.TempDir())
	mounts, err := s.Prepare(t.Context(), "active", "")
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		name := filepath.Join(upper(t, mounts), "name")
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.MkdirAll(filepath.Join(name, "sub/sub"), 0o755)
			_ = os.RemoveAll(name)
			_ = os.Symlink("/proc/self/fd", name)
			_ = os.RemoveAll(name)
		}
	}()
	for range 3000 {
		if u, err := s.Usage(t.Context(), "active"); err != nil || u.Inodes < 1 || u.Inodes > 4 {
			t.Errorf("got %+v, %v", u, err)
			break
		}
	}
	close(stop)
	<-stopped
}

func TestUsage(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	mounts, err := s.Prepare(t.Context(), "active", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := upper(t, mounts)
	write(t, filepath.Join(dir, "file"), strings.Repeat("x", 100_000))
	if err := os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(key string) {
		t.Helper()
		du, err := fs.DiskUsage(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Usage(t.Context(), key)
		if err != nil || got != snapshots.Usage(du) {
			t.Errorf("usage of %s is %+v, %v; du says %+v", key, got, err, du)
		}
	}
	check("active")
	if err := s.Commit(t.Context(), "one", "active"); err != nil {
		t.Fatal(err)
	}
	check("one")

	// Whoever exchanges the folders of two snapshots, as containerstore does,
	// leaves the records behind.
	mounts, err = s.Prepare(t.Context(), "other", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(upper(t, mounts), "file"), strings.Repeat("x", 300_000))
	if err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, upper(t, mounts), unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	check("one")
	check("one")
}

// TestStock has containerd's own overlay snapshotter and this one take turns at
// a root.
func TestStock(t *testing.T) {
	requireRoot(t)
	root := t.TempDir()
	parent := ""
	for i := range 6 {
		var s snapshots.Snapshotter
		var err error
		if i%2 == 0 {
			s, err = stock.NewSnapshotter(root)
		} else {
			s, err = overlay.New(root)
		}
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, fmt.Sprint("c", i), parent, fmt.Sprintf("file%d", i+1), fmt.Sprint(i+1))
		parent = fmt.Sprint("c", i)
		if i > 0 {
			mounts, err := s.View(t.Context(), fmt.Sprint("v", i), parent)
			if err != nil {
				t.Fatal(err)
			}
			checkChain(t, mounts, i+1)
		}
		if i > 1 {
			if err := s.Remove(t.Context(), fmt.Sprint("v", i-1)); err != nil {
				t.Error(err)
			}
		}
		if err := s.(snapshots.Cleaner).Cleanup(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	open(t, root)
}
