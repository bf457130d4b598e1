package overlay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// account is what a worker said: name -> "+", "a" or "x". Names are missing of
// which nobody can know.
type account map[string]string

// process is a worker's.
type process struct {
	cmd   *exec.Cmd
	log   string        // the file that it writes, so that nothing is on its way
	ended chan struct{} // closed when it has
}

func start(t *testing.T, root string, env ...string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, workerRoot+"="+root)...)
	cmd.Stdout, cmd.Stderr = log, os.Stderr
	// The worker ends at the end of its input, whatever becomes of this process.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p := &process{cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // killed tells how it ended
	}()
	for ended := false; !strings.HasPrefix(read(t, p.log), "ready\n"); {
		if ended {
			t.Fatalf("the worker did not begin: %v", cmd.ProcessState)
		}
		select {
		case <-p.ended:
			ended = true
		case <-time.After(time.Millisecond):
		}
	}
	return p
}

// said returns what the worker said up to now, and in how many lines.
func (p *process) said(t *testing.T) (account, int) {
	t.Helper()
	a := account{}
	lines := strings.Split(read(t, p.log), "\n")
	for _, line := range lines[1 : len(lines)-1] {
		what, name, _ := strings.Cut(line, " ")
		switch what {
		case "-", "d":
			delete(a, name)
		default:
			a[name] = what
		}
	}
	return a, len(lines) - 2
}

// kill ends a worker that goes on until then.
func (p *process) kill(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Kill()
	p.killed(t)
}

// killed waits for the end of a worker that kills itself.
func (p *process) killed(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		t.Error("the worker did not come to its end")
		<-p.ended
	}
	if p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the worker ended otherwise than by SIGKILL: %v", p.cmd.ProcessState)
	}
}

// check opens the root that a worker left, and compares it with what it said.
// It returns how many snapshots there are.
func (a account) check(root string) (n int, err error) {
	ctx := context.Background()
	s, err := overlay.New(root)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	found := map[string]snapshots.Info{}
	err = s.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		found[info.Name] = info
		if a[info.Name] == "x" {
			return fmt.Errorf("%s is back", info.Name)
		}
		return wholeSnapshot(ctx, s, info)
	})
	if err != nil {
		return 0, err
	}
	for name, state := range a {
		kind := map[string]snapshots.Kind{"+": snapshots.KindCommitted, "a": snapshots.KindActive}[state]
		if state != "x" && found[name].Kind != kind {
			return 0, fmt.Errorf("%q is %s, not %s", name, found[name].Kind, kind)
		}
	}
	return len(found), tidy(ctx, s, root, found)
}

func wholeSnapshot(ctx context.Context, s *overlay.Snapshotter, info snapshots.Info) error {
	if info.Kind != snapshots.KindCommitted {
		_, err := s.Mounts(ctx, info.Name)
		return err
	}
	mounts, err := s.View(ctx, "look", info.Name)
	if err != nil {
		return err
	}
	dir, _, _ := strings.Cut(option(mounts[0], "lowerdir"), ":")
	if mounts[0].Type == "bind" {
		dir = mounts[0].Source
	}
	if err := whole(dir, info.Name); err != nil {
		return fmt.Errorf("%s is not whole: %w", info.Name, err)
	}
	return s.Remove(ctx, "look")
}

// tidy checks that every folder is accounted for, and removes all but a few
// snapshots.
func tidy(ctx context.Context, s *overlay.Snapshotter, root string, found map[string]snapshots.Info) error {
	if err := s.Cleanup(ctx); err != nil {
		return err
	}
	r, err := s.Check(ctx)
	if err != nil {
		return err
	}
	if len(r.Missing)+len(r.Leftover)+len(r.Strange) > 0 {
		return fmt.Errorf("records and folders do not agree: %+v", r)
	}
	list, err := os.ReadDir(filepath.Join(root, "snapshots"))
	if err != nil {
		return err
	}
	for _, e := range list {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			return fmt.Errorf("%s is left", e.Name())
		}
	}
	if len(found) < 100 {
		return nil
	}
	all := make([]snapshots.Info, 0, len(found))
	for _, info := range found {
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b snapshots.Info) int { return b.Created.Compare(a.Created) })
	for _, info := range all {
		// One that was prepared on it earlier, and committed later, keeps it.
		_ = s.Remove(ctx, info.Name)
	}
	return nil
}

// rounds is a number from the environment.
func rounds(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKill kills a process at random instants. BALEEN_KILL_ROUNDS says how often.
func TestKill(t *testing.T) {
	requireRoot(t)
	root := t.TempDir()
	acts, found := 0, 0
	kills := rounds(t, "BALEEN_KILL_ROUNDS", 30)
	for i := range kills {
		p := start(t, root, fmt.Sprintf("%s=k%d", workerSeed, i))
		time.Sleep(time.Duration(rand.IntN(100_000)) * time.Microsecond)
		p.kill(t)
		said, n := p.said(t)
		there, err := said.check(root)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		acts, found = acts+n, found+there
	}
	t.Logf("%d kills between %d acts left %d snapshots, all whole and accounted for", kills, acts, found)
}

// TestKillAtEachStep kills a process between each two acts that change the disk.
func TestKillAtEachStep(t *testing.T) {
	requireRoot(t)
	for _, step := range overlay.Steps {
		t.Run(step, func(t *testing.T) {
			root := t.TempDir()
			for _, count := range []int{1, 2, 7} {
				p := start(t, root,
					fmt.Sprintf("%s=s%d", workerSeed, count), fmt.Sprintf("%s=%s:%d", workerDie, step, count))
				p.killed(t)
				said, _ := p.said(t)
				if _, err := said.check(root); err != nil {
					t.Fatalf("killed when at %s for the %d. time: %v", step, count, err)
				}
			}
		})
	}
}
