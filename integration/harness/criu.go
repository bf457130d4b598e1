package harness

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// NeedCRIU has the daemons of a test find CRIU, or skips it: `make criu` unpacks
// one that runs on this kernel.
func NeedCRIU(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")) // so it is as it was after the test
	if err := stack.FindCRIU(); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("criu")
	if err != nil {
		t.Skip("there is no CRIU: make criu")
	}
	if out, err := Output(exec.CommandContext(t.Context(), path, "check")); err != nil {
		t.Skipf("CRIU does not run here: %v: %s", err, out)
	}
}

// CounterScript counts into a file that it keeps open, from a variable. It notes how
// often it has begun, and does FIRST before.
const CounterScript = "eval \"$FIRST\"; echo x >> /begun; exec 3>/counted; n=0; while :; do n=$((n+1)); echo $n >&3; sleep 0.05; done"

// RunCounter starts a container that counts.
func (e *Env) RunCounter(t *testing.T, name string, options ...string) string {
	t.Helper()
	args := append([]string{"run", "-d", "--init=false", "--name", name}, options...)
	id := e.Must(t, append(args, "busybox", "sh", "-c", CounterScript)...)
	t.Cleanup(func() { e.Remove(t, id) })
	e.CountsPast(t, id, 3)
	return id
}

// Counted is the last number, and whether all before it are there once.
func (e *Env) Counted(t *testing.T, id string) int {
	t.Helper()
	out, err := e.Try(t, "exec", id, "cat", "/counted")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Fields(out)
	for at, line := range lines {
		if n, err := strconv.Atoi(line); err != nil || n != at+1 {
			t.Fatalf("line %d of what was counted is %q", at+1, line)
		}
	}
	return len(lines)
}

// CountsPast waits until a container has counted past n, and returns how far it is.
func (e *Env) CountsPast(t *testing.T, id string, n int) (now int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("container %s to count past %d", id[:12], n), func() error {
		if now = e.Counted(t, id); now <= n {
			return fmt.Errorf("it is at %d", now)
		}
		return nil
	})
	return now
}
