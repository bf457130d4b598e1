package stack_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

// patience is how long a killed stack may take to be gone.
const patience = 15 * time.Second

// busy gives a stack what is hardest to get rid of: a process that ignores
// signals, one that is frozen, a program from outside, and somewhat of files.
func busy(t *testing.T, h *holder) {
	t.Helper()
	s, err := stack.Attach(h.root)
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, "busybox")
	docker(t, s, "run", "-d", "busybox", "sh", "-c", "trap '' TERM INT; while :; do sleep 1; done")
	docker(t, s, "run", "-d", "--name", "frozen", "--pid", "host", "--network", "host", "busybox", "top")
	docker(t, s, "pause", "frozen")
	inside := s.Command(t.Context(), "sleep", "1000")
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if inside.Wait() == nil {
			t.Error("sleep inside of the stack has not been killed")
		}
	})
}

func TestKilledStarterLeavesNothing(t *testing.T) {
	t.Parallel()
	h := hold(t, stock)
	busy(t, h)
	h.kill(t)
	awaitNothing(t, h.root)
}

// TestStarterKilledAtAnyTime kills the starter while the stack is coming up.
func TestStarterKilledAtAnyTime(t *testing.T) {
	if err := stack.CheckMachine(); err != nil {
		t.Skip(err)
	}
	root := shortDir(t) + "/young"
	config, err := json.Marshal(stack.Config{Flavor: stack.Stock, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	for delay := 5 * time.Millisecond; delay < time.Second; delay *= 2 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), holdEnv+"="+string(config))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // says that it was killed
		awaitNothing(t, root)
	}
}

func TestKilledKeeperTakesItsStackAlongAndIsSweptUpAfter(t *testing.T) {
	dir := shortDir(t)
	t.Setenv("BALEEN_STACK_DIR", dir)
	h := hold(t, stock)
	busy(t, h)
	if err := unix.Kill(keeperOf(t, h.root), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := stack.Attach(h.root); errdefs.IsNotFound(err) {
			break
		} else if time.Since(began) > patience {
			t.Fatalf("the keeper lives on: %v", err)
		}
	}
	next := stack.ForTest(t, stock) // sweeps
	if err := stack.Leftovers(h.root); err != nil {
		t.Error(err)
	}
	stop(t, next)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("in the stacks' folder there is %v, %v", entries, err)
	}
}

func TestStopAfterKeeperWasKilled(t *testing.T) {
	t.Parallel()
	if err := stack.CheckMachine(); err != nil {
		t.Skip(err)
	}
	s, err := stack.Start(t.Context(), stock)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(keeperOf(t, s.Root()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "keeper") {
		t.Errorf("Stop does not tell of the killed keeper: %v", err)
	}
	if err := stack.Leftovers(s.Root()); err != nil {
		t.Error(err)
	}
}

func TestKillEndsAStackAtOnce(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	load(t, s, "busybox")
	docker(t, s, "run", "-d", "busybox", "sleep", "1000")
	began := time.Now()
	if err := s.Kill(); err != nil {
		t.Error(err)
	}
	if err := stack.Leftovers(s.Root()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func keeperOf(t *testing.T, root string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "stack.json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ KeeperPID int }
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	return record.KeeperPID
}

func awaitNothing(t *testing.T, root string) {
	t.Helper()
	began := time.Now()
	for {
		err := stack.Leftovers(root)
		if err == nil {
			t.Logf("nothing left after %v", time.Since(began))
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("after %v %v", patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
