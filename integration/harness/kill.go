package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/stack"
)

// KillRounds is how often the kill test kills; BALEEN_KILL_ROUNDS sets another
// number, for long runs.
func KillRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("BALEEN_KILL_ROUNDS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BALEEN_KILL_ROUNDS is %q", text)
	}
	return n
}

// KillAndStart kills a daemon and starts it again.
func (e *Env) KillAndStart(t *testing.T, d stack.Daemon) {
	t.Helper()
	kill, start := e.KillDockerd, e.StartDockerd
	if d == stack.Containerd {
		kill, start = e.KillContainerd, e.StartContainerd
	}
	if err := kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After containerd's end dockerd needs a moment to find it again.
	Eventually(t, "dockerd to answer", func() error {
		_, err := e.Try(t, "images")
		return err
	})
}

// ChangingCalls are those that change something in containerd.
var ChangingCalls = []string{
	"Snapshots/Prepare", "Snapshots/View", "Snapshots/Commit", "Snapshots/Remove", "Snapshots/Update",
	"Leases/Create", "Leases/Delete", "Leases/AddResource", "Leases/DeleteResource",
	"Content/Write", "Content/Update", "Content/Delete", "Content/Abort",
	"Images/Create", "Images/Update", "Images/Delete",
	"Containers/Create", "Containers/Update", "Containers/Delete",
	"Tasks/Create", "Tasks/Start", "Tasks/Kill", "Tasks/Delete", "Tasks/Pause", "Tasks/Resume",
}

// SeededRand returns numbers by chance, and tells by which.
func SeededRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// KillIn runs a docker command and kills a daemon before the nth of those calls to
// containerd that countedCalls lists, and starts it again. It returns which one
// that was, "" if the command makes fewer calls, and how the command failed.
func (e *Env) KillIn(t *testing.T, p *fault.Proxy, d stack.Daemon, n int, args ...string) (where string, failed error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	killed := make(chan error, 1)
	kill, start := e.KillDockerd, e.StartDockerd
	if d == stack.Containerd {
		kill, start = e.KillContainerd, e.StartContainerd
	}
	p.Set(fault.Plan{Methods: countedCalls(), Nth: n, Do: func() { killed <- kill(ctx) }})
	ended := make(chan error, 1)
	go func() {
		out, err := Output(e.Docker(ctx, args...))
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		ended <- err
	}()
	var err error
	select {
	case err = <-killed:
	case failed = <-ended:
		if _, where = p.Clear(); where == "" {
			return "", failed
		}
		ended <- failed
		err = <-killed
	}
	if err == nil {
		err = start(ctx)
	}
	if err != nil {
		t.Fatalf("%s killed before call %d: %v", d, n, err)
	}
	failed = <-ended
	_, where = p.Clear()
	Eventually(t, "dockerd to answer", func() error {
		_, err := e.Try(t, "images")
		return err
	})
	if failed != nil {
		t.Logf("%s killed before call %d, %s: %v", d, n, where, failed)
	}
	return where, failed
}

// countedCalls are those before which a daemon is killed: that change something,
// or all.
func countedCalls() []string {
	if KillAll() {
		return append([]string{"tasks", "containers.v1"}, ImageServices...)
	}
	return ChangingCalls
}

// KillAll tells whether BALEEN_KILL_ALL asks for a kill at every call.
func KillAll() bool { return os.Getenv("BALEEN_KILL_ALL") != "" }
