package overlay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

var errInjected = errors.New("injected")

// TestFailAtEachStep has the act after a step fail, once for each time that the
// step comes. Nothing may be left then, and the next try must succeed.
func TestFailAtEachStep(t *testing.T) {
	for _, step := range overlay.Steps {
		t.Run(step, func(t *testing.T) {
			root := t.TempDir()
			var left atomic.Int32
			s := open(t, root, overlay.WithHook(func(at string) error {
				if at == step && left.Add(-1) == 0 {
					return errInjected
				}
				return nil
			}))
			for n := int32(1); ; n++ {
				left.Store(n)
				life(t, s)
				if left.Load() > 0 {
					return // it does not come n times
				}
				left.Store(0)
				life(t, s)
				if err := s.Cleanup(t.Context()); err != nil {
					t.Fatal(err)
				}
				checkEmpty(t, s, root)
			}
		})
	}
}

// life takes snapshots through all that can happen to them. What fails must fail
// by what was injected, and leave all as it was.
func life(t *testing.T, s *overlay.Snapshotter) {
	t.Helper()
	ctx := t.Context()
	try := func(f func() error) {
		t.Helper()
		err := f()
		if errors.Is(err, errInjected) {
			err = f()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	prepare := func(key, parent string, create creator) {
		t.Helper()
		try(func() error { _, err := create(ctx, key, parent); return err })
	}
	prepare("a", "", s.Prepare)
	try(func() error { return s.Commit(ctx, "one", "a") })
	prepare("a", "one", s.Prepare)
	prepare("v", "one", s.View)
	prepare("w", "", s.View)
	try(func() error {
		_, err := s.Update(ctx, snapshots.Info{Name: "one", Labels: map[string]string{"k": "v"}})
		return err
	})
	for _, key := range []string{"a", "v", "w", "one"} {
		try(func() error { return s.Remove(ctx, key) })
	}
	_ = s.Cleanup(ctx)
}

func TestFailedSync(t *testing.T) {
	var fail atomic.Bool
	s := open(t, t.TempDir(), overlay.WithSyncfs(func(int) error {
		if fail.Swap(false) {
			return unix.EIO
		}
		return nil
	}))
	for _, key := range []string{"a", "b"} {
		if _, err := s.Prepare(t.Context(), key, ""); err != nil {
			t.Fatal(err)
		}
	}
	fail.Store(true)
	if err := s.Commit(t.Context(), "A", "a"); !errors.Is(err, unix.EIO) {
		t.Errorf("a commit whose sync failed: %v", err)
	}
	// The kernel has told of the error, and would not do so again. What was
	// written to b may be lost just as well.
	for _, key := range []string{"a", "b"} {
		if err := s.Commit(t.Context(), strings.ToUpper(key), key); !errdefs.IsDataLoss(err) {
			t.Errorf("commit of %s after a sync failed: %v", key, err)
		}
		if info, err := s.Stat(t.Context(), key); err != nil || info.Kind != snapshots.KindActive {
			t.Errorf("%s is %s, %v", key, info.Kind, err)
		}
	}
	commit(t, s, "C", "", "file", "1")
}

// TestLoneCommitSyncsFew tells which commits sync the file system, and with it
// what everybody else has written.
func TestLoneCommitSyncsFew(t *testing.T) {
	var all, each atomic.Int32
	var fail atomic.Bool
	s := open(t, t.TempDir(), overlay.WithSync(
		func(int) error { all.Add(1); return nil },
		func(_ context.Context, upper string, changes int64) error {
			each.Add(1)
			if list := entries(t, upper); int64(len(list)) != changes-1 {
				t.Errorf("%d changes are to be synced of %q", changes, list)
			}
			if fail.Load() {
				return unix.EIO
			}
			return nil
		}))
	for n := range 12 {
		mounts, err := s.Prepare(t.Context(), "active", "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			write(t, filepath.Join(upper(t, mounts), fmt.Sprint("file", i)), "1")
		}
		if err := s.Commit(t.Context(), fmt.Sprint(n), "active"); err != nil {
			t.Fatal(err)
		}
	}
	if all.Load() != 4 || each.Load() != 8 {
		t.Errorf("of snapshots with 0 to 11 files %d were synced by the file system, %d one by one", all.Load(), each.Load())
	}
	fail.Store(true)
	if _, err := s.Prepare(t.Context(), "active", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), "committed", "active"); !errors.Is(err, unix.EIO) {
		t.Errorf("commit: %v", err)
	}
	fail.Store(false)
	if err := s.Commit(t.Context(), "committed", "active"); !errdefs.IsDataLoss(err) {
		t.Errorf("commit after a sync failed: %v", err)
	}
}

func TestParallelCommitsShareSyncs(t *testing.T) {
	const n = 20
	var syncs, measured atomic.Int32
	begun, proceed := make(chan struct{}), make(chan struct{})
	s := open(t, t.TempDir(),
		overlay.WithSyncfs(func(fd int) error {
			if syncs.Add(1) == 1 {
				close(begun)
				<-proceed
			}
			return unix.Syncfs(fd)
		}),
		overlay.WithHook(func(at string) error {
			if at == "measured" {
				measured.Add(1)
			}
			return nil
		}))
	var all sync.WaitGroup
	committing := func(i int) {
		all.Add(1)
		go func() {
			defer all.Done()
			commit(t, s, fmt.Sprint(i), "", "file", fmt.Sprint(i))
		}()
	}
	committing(0)
	<-begun
	for i := 1; i < n; i++ {
		committing(i)
	}
	for measured.Load() < n {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // from there to the sync it is not far
	close(proceed)
	all.Wait()
	// One for the first, one for all others, and one for who came late.
	if got := syncs.Load(); got > 3 {
		t.Errorf("%d parallel commits synced %d times", n, got)
	}
}

// TestOneFailsAmongOthers has changes gather for one transaction, of which some
// cannot be made.
func TestOneFailsAmongOthers(t *testing.T) {
	root := t.TempDir()
	var stopped atomic.Bool
	begun, proceed := make(chan struct{}), make(chan struct{})
	transactions := atomic.Int32{}
	s := open(t, root, overlay.WithHook(func(at string) error {
		if at == "recorded" {
			transactions.Add(1)
		}
		if at == "folders" && stopped.CompareAndSwap(false, true) {
			close(begun)
			<-proceed
		}
		return nil
	}))
	go func() { _, _ = s.Prepare(context.Background(), "taken", "") }()
	<-begun
	errs := make([]error, 30)
	var all sync.WaitGroup
	for i := range errs {
		all.Add(1)
		go func() {
			defer all.Done()
			key, parent := fmt.Sprint("key", i), ""
			switch i % 3 {
			case 1:
				key = "taken"
			case 2:
				parent = "missing"
			}
			_, errs[i] = s.Prepare(context.Background(), key, parent)
		}()
	}
	time.Sleep(100 * time.Millisecond)
	close(proceed)
	all.Wait()
	for i, err := range errs {
		if ok := []bool{err == nil, errdefs.IsAlreadyExists(err), errdefs.IsNotFound(err)}[i%3]; !ok {
			t.Errorf("%d: %v", i, err)
		}
	}
	if n := transactions.Load(); n > 8 {
		t.Errorf("30 parallel changes took %d transactions", n)
	}
	if got := len(entries(t, filepath.Join(root, "snapshots"))); got != 11 {
		t.Errorf("there are %d folders, want 11", got)
	}
}

func TestCancelled(t *testing.T) {
	root := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	s := open(t, root, overlay.WithSyncfs(func(int) error { cancel(); return nil }))
	if _, err := s.Prepare(ctx, "a", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, "A", "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.Prepare(ctx, "b", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("prepare: %v", err)
	}
	if err := s.Remove(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("remove: %v", err)
	}
	if err := s.Remove(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := s.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	checkEmpty(t, s, root)
}

// TestFullDisk fills the file system to the last byte.
func TestFullDisk(t *testing.T) {
	dir := newDisk(t, volume.Ext4, 16<<20).Dir
	root := filepath.Join(dir, "root")
	s := open(t, root)
	commit(t, s, "one", "", "file", "1")
	filler := filepath.Join(dir, "filler")
	if err := fillUp(filler); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	// A view makes no folder, so it is the records that do not fit.
	for kind, create := range map[string]creator{"active": s.Prepare, "view": s.View} {
		label := snapshots.WithLabels(map[string]string{"label": strings.Repeat("x", 3000)})
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			_, err = create(t.Context(), fmt.Sprint(kind, i), "one", label)
		}
		t.Logf("%s on a full disk: %.200v", kind, err)
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s on a full disk: %v", kind, err)
		}
	}
	if r, err := s.Check(t.Context()); err != nil || len(r.Missing)+len(r.Leftover) > 0 {
		t.Errorf("on a full disk: %+v, %v", r, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(t.Context(), "active", "one"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if names := strings.Join(entries(t, filepath.Join(root, "snapshots")), " "); strings.Contains(names, "new-") {
		t.Errorf("left: %s", names)
	}
	closeChecked(t, s)
}

func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; block = block[:len(block)/2] {
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
	return errors.Join(err, f.Sync())
}
