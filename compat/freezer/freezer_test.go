package freezer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/freezer"
)

const id = "0123456789abcdef"

// counter is a process in a control group of its own that counts.
type counter struct {
	pid  int
	dir  string // its control group
	path string // what it has counted to
}

// start runs a counter in a group below another, which is named after id.
func start(t *testing.T, below ...string) *counter {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make control groups")
	}
	root := hierarchy(t)
	dir := filepath.Join(append([]string{root, "baleen-test-" + fmt.Sprint(os.Getpid()) + "-" + id}, below...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for d := dir; d != root; d = filepath.Dir(d) {
			if err := os.Remove(d); err != nil {
				t.Error(err)
			}
		}
	})
	c := &counter{dir: dir, path: filepath.Join(t.TempDir(), "count")}
	cmd := exec.Command("sh", "-c", `i=0; while :; do i=$((i+1)); echo $i > "$0"; done`, c.path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.pid = cmd.Process.Pid
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // "killed"
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, c.pid), 0); err != nil {
		t.Fatal(err)
	}
	return c
}

// hierarchy finds where control groups with a freezer are.
func hierarchy(t *testing.T) string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if strings.Contains(m.VFSOptions, "freezer") {
			return m.Mountpoint
		}
	}
	if mounts, err = mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2")); err != nil || len(mounts) == 0 {
		t.Skipf("no control groups with a freezer here: %v", err)
	}
	return mounts[0].Mountpoint
}

// counts reports whether the process goes on.
func (c *counter) counts(t *testing.T) bool {
	t.Helper()
	var before unix.Stat_t
	if err := unix.Stat(c.path, &before); err != nil && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	for range 40 {
		time.Sleep(5 * time.Millisecond)
		var now unix.Stat_t
		if err := unix.Stat(c.path, &now); err == nil && now.Mtim != before.Mtim {
			return true
		}
	}
	return false
}

func TestFreezeAndThaw(t *testing.T) {
	for name, below := range map[string][]string{"its own group": nil, "a group below": {"init.scope"}} {
		t.Run(name, func(t *testing.T) {
			c := start(t, below...)
			group, err := freezer.Find(c.pid, id)
			if err != nil {
				t.Fatal(err)
			}
			if err := group.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.counts(t) {
				t.Error("it goes on when frozen")
			}
			if err := group.Freeze(t.Context()); !errdefs.IsConflict(err) {
				t.Errorf("freezing what is frozen gave %v", err)
			}
			if c.counts(t) {
				t.Error("it goes on after a second, failed freeze")
			}
			if err := group.Thaw(); err != nil || !c.counts(t) {
				t.Errorf("it does not go on when thawed: %v", err)
			}
		})
	}
}

func TestFreezeGivesUpWithItsContext(t *testing.T) {
	c := start(t)
	group, err := freezer.Find(c.pid, id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// It may stand at once: then there is nothing to give up.
	if err := group.Freeze(ctx); err == nil {
		err = group.Thaw()
		t.Log("stood at once", err)
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !c.counts(t) {
		t.Error("it was left frozen")
	}
}

func TestFindNeedsTheContainersGroup(t *testing.T) {
	c := start(t)
	for name, f := range map[string]func() (*freezer.Cgroup, error){
		"another container": func() (*freezer.Cgroup, error) { return freezer.Find(c.pid, "fedcba9876543210") },
		"no id":             func() (*freezer.Cgroup, error) { return freezer.Find(c.pid, "") },
	} {
		if g, err := f(); !errdefs.IsNotFound(err) {
			t.Errorf("%s: got %v, %v", name, g, err)
		}
	}
	if _, err := freezer.Find(1<<30, id); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a process that is not there gave %v", err)
	}
}

func TestSetSharesAPause(t *testing.T) {
	c := start(t)
	var set freezer.Set
	hold := func() func() (bool, error) {
		release, err := set.Hold(t.Context(), c.pid, id)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	first, second := hold(), hold()
	over := make(chan struct{})
	go func() { set.Wait(c.pid, id); close(over) }()
	if last, err := first(); last || err != nil || c.counts(t) || !set.Held(c.pid, id) {
		t.Errorf("it goes on while one holds it: %v", err)
	}
	select {
	case <-over:
		t.Error("who waited is told that it goes on while one holds it")
	default:
	}
	if last, err := second(); !last || err != nil || !c.counts(t) || set.Held(c.pid, id) {
		t.Errorf("it does not go on after the last: %v", err)
	}
	<-over
	set.Wait(c.pid, id) // nobody holds it

	group, err := freezer.Find(c.pid, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Hold(t.Context(), c.pid, id); !errdefs.IsConflict(err) || set.Held(c.pid, id) {
		t.Errorf("holding what others froze gave %v", err)
	}
	if err := freezer.Thaw(c.pid, id); err != nil || !c.counts(t) {
		t.Errorf("it does not go on: %v", err)
	}
	if err := freezer.Thaw(c.pid, "fedcba9876543210"); err != nil {
		t.Errorf("thawing what has no group gave %v", err)
	}
}

// TestSetFreezesAgain: who joins a pause that somebody has ended meanwhile finds
// the container standing still even so.
func TestSetFreezesAgain(t *testing.T) {
	c := start(t)
	var set freezer.Set
	var releases []func() (bool, error)
	for range 2 {
		release, err := set.Hold(t.Context(), c.pid, id)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
		if c.counts(t) {
			t.Errorf("it goes on while held by %d", len(releases))
		}
		if len(releases) == 1 {
			if err := freezer.Thaw(c.pid, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, release := range releases {
		if _, err := release(); err != nil {
			t.Error(err)
		}
	}
	if !c.counts(t) {
		t.Error("it was left frozen")
	}
}

// TestSetKeepsThawed: a pause waits for who needs the container to go on, and who
// comes then waits for the pause.
func TestSetKeepsThawed(t *testing.T) {
	c := start(t)
	var set freezer.Set
	first, second := set.KeepThawed(c.pid, id), set.KeepThawed(c.pid, id)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := set.Hold(short, c.pid, id); !errors.Is(err, context.DeadlineExceeded) || set.Held(c.pid, id) || !c.counts(t) {
		t.Errorf("a pause did not wait in vain: %v", err)
	}
	held := make(chan func() (bool, error), 1)
	go func() {
		release, err := set.Hold(t.Context(), c.pid, id)
		if err != nil {
			t.Error(err)
		}
		held <- release
	}()
	first()
	select {
	case <-held:
		t.Fatal("a pause began while one needed it to go on")
	case <-time.After(50 * time.Millisecond):
	}
	third := make(chan func(), 1)
	go func() { third <- set.KeepThawed(c.pid, id) }()
	second()
	release := <-held
	select {
	case <-third:
		t.Fatal("it was said to go on during a pause")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := release(); err != nil {
		t.Error(err)
	}
	(<-third)()
	if !c.counts(t) {
		t.Error("it was left frozen")
	}
}

// TestThawOfAnotherGroup: a container that was restarted has a group of the same
// name, which may be paused by somebody else.
func TestThawOfAnotherGroup(t *testing.T) {
	c := start(t)
	stale, err := freezer.Find(c.pid, id)
	if err != nil {
		t.Fatal(err)
	}
	outside := []byte(fmt.Sprint(c.pid))
	procs := filepath.Join(c.dir, "cgroup.procs")
	for _, err := range []error{
		os.WriteFile(filepath.Join(hierarchy(t), "cgroup.procs"), outside, 0),
		os.Remove(c.dir), os.Mkdir(c.dir, 0o755), os.WriteFile(procs, outside, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	group, err := freezer.Find(c.pid, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stale.Thaw(); err != nil || c.counts(t) {
		t.Errorf("thawing a group that is gone ended the pause of another: %v", err)
	}
	if err := group.Thaw(); err != nil || !c.counts(t) {
		t.Errorf("it was left frozen: %v", err)
	}
}
