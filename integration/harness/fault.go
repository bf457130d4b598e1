package harness

import (
	"path/filepath"
	"testing"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/stack"
)

// ImageServices are those that an operation on images and layers calls.
var ImageServices = []string{"leases", "snapshots", "content", "diff", "images"}

// MostCalls bounds the rounds of a test that fails one call after the other.
const MostCalls = 120

// StartFaulty is a stack whose dockerd talks to containerd through a proxy.
func StartFaulty(t *testing.T, images ...string) (*Env, *fault.Proxy) {
	t.Helper()
	return StartFaultyWith(t, stack.Config{}, images...)
}

// StartFaultyWith is StartFaulty with another configuration.
func StartFaultyWith(t *testing.T, c stack.Config, images ...string) (*Env, *fault.Proxy) {
	t.Helper()
	e := Start(t, c, images...)
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

// EachCall runs an operation again and again, failing its first call, its
// second and so on, until it makes fewer calls than that. It returns what the
// last run, in which none failed, printed.
func EachCall(t *testing.T, p *fault.Proxy, operation func() (string, error), check func(failed, out string, err error)) string {
	t.Helper()
	return EachCallOf(t, p, ImageServices, operation, check)
}

// EachCallOf is EachCall for the calls of these services.
func EachCallOf(t *testing.T, p *fault.Proxy, services []string, operation func() (string, error), check func(failed, out string, err error)) string {
	t.Helper()
	for n := 1; n <= MostCalls; n++ {
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
	t.Fatalf("the operation makes more than %d calls", MostCalls)
	return ""
}

// NoFilesLeft looks for folders of ingests that containerd does not list any
// more, and so never removes.
func (e *Env) NoFilesLeft(t *testing.T) {
	t.Helper()
	ingests := filepath.Join(e.ContainerdRoot(), "io.containerd.content.v1.content", "ingest")
	left, err := filepath.Glob(filepath.Join(ingests, "*"))
	if err != nil || len(left) > 0 {
		files, _ := filepath.Glob(filepath.Join(ingests, "*", "*"))
		t.Errorf("%d folders of ingests are left, with files %v, %v", len(left), files[:min(3, len(files))], err)
	}
}
