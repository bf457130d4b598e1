package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/stack"
)

// faultServices are those that an operation on images and layers calls.
var faultServices = []string{"leases", "snapshots", "content", "diff", "images"}

// mostCalls bounds the rounds of a test that fails one call after the other.
const mostCalls = 120

// newFaultEnv is a stack whose dockerd talks to containerd through a proxy.
func newFaultEnv(t *testing.T, images ...string) (*env, *fault.Proxy) {
	t.Helper()
	return newFaultEnvWith(t, stack.Config{}, images...)
}

func newFaultEnvWith(t *testing.T, c stack.Config, images ...string) (*env, *fault.Proxy) {
	t.Helper()
	e := newEnv(t, c, images...)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(e.Root(), "fault.sock")
	p, err := fault.Listen(socket, e.ContainerdAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// dockerd ends first: it has calls under way all the time.
		if err := e.StopDockerd(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	e.PutBefore(socket)
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e, p
}

// eachCall runs an operation again and again, failing its first call, its
// second and so on, until it makes fewer calls than that. It returns what the
// last run, in which none failed, printed.
func eachCall(t *testing.T, p *fault.Proxy, operation func() (string, error), check func(failed, out string, err error)) string {
	t.Helper()
	return eachCallOf(t, p, faultServices, operation, check)
}

// eachCallOf is eachCall for the calls of these services.
func eachCallOf(t *testing.T, p *fault.Proxy, services []string, operation func() (string, error), check func(failed, out string, err error)) string {
	t.Helper()
	for n := 1; n <= mostCalls; n++ {
		p.Set(fault.Plan{Methods: services, Nth: n})
		out, err := operation()
		_, failed := p.Clear()
		if failed == "" {
			if err != nil {
				t.Errorf("with no call failing: %v\n%s", err, out)
			}
			t.Logf("%d calls, each failed once", n-1)
			return out
		}
		check(failed, out, err)
	}
	t.Fatalf("the operation makes more than %d calls", mostCalls)
	return ""
}

// TestCommitFailsCleanly fails every call to containerd that a commit makes,
// one at a time.
func TestCommitFailsCleanly(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	id := e.run(t, "busybox", "echo x > /x")
	before := e.state(t)
	last := eachCall(t, p, func() (string, error) { return e.try(t, "commit", id) }, func(failed, out string, err error) {
		switch {
		case err == nil:
			// Some calls are not needed for the result: an event's text, or
			// deleting the lease. The image must be whole.
			if got := e.docker(t, "run", "--rm", out, "cat", "/x"); got != "x" {
				t.Errorf("%s failed, the commit did not, and the image holds %q", failed, got)
			}
			e.docker(t, "rmi", out)
		case !strings.Contains(out, "commit container "+id) || !strings.Contains(out, "was made to fail"):
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if status := e.inspect(t, id, "{{.State.Status}}"); status != "running" {
			t.Errorf("%s failed, and the container is %s", failed, status)
		}
		e.settledBut(t, failed, before)
	})
	e.docker(t, "rmi", last)
	e.settledBut(t, "no failure", before)
}

// TestCreateFailsCleanly fails every call that creating a container makes.
func TestCreateFailsCleanly(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	before := e.state(t)
	eachCall(t, p, func() (string, error) { return e.try(t, "create", "--name", "fails", "busybox") }, func(failed, out string, err error) {
		if err == nil {
			e.remove(t, "fails")
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if left := e.docker(t, "ps", "-aq"); left != "" {
			t.Errorf("%s failed, and container %s is left", failed, left)
		}
		e.settledBut(t, failed, before)
	})
	e.remove(t, "fails")
}

// TestDiffFailsCleanly fails every call that docker diff makes.
func TestDiffFailsCleanly(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	id := e.run(t, "busybox", "echo x > /x")
	before := e.state(t)
	eachCall(t, p, func() (string, error) { return e.try(t, "diff", id) }, func(failed, out string, err error) {
		if err == nil && out != "A /x" {
			t.Errorf("%s failed, and docker diff prints %q", failed, out)
		}
		e.settledBut(t, failed, before)
	})
}

// settledBut is settled with the failed call in the message, and but for what
// Moby keeps if it is a start's.
func (e *env) settledBut(t *testing.T, failed string, before state) {
	t.Helper()
	t.Run("after "+failed, func(t *testing.T) {
		e.eventually(t, "the operation's leftovers to go", func() error {
			return before.compare(withoutStarts(e.state(t)))
		})
	})
}
