package commit_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
)

// TestCommitFailsCleanly fails every call to containerd that a commit makes,
// one at a time.
func TestCommitFailsCleanly(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	before := e.State(t)
	last := harness.EachCall(t, p, func() (string, error) { return e.Try(t, "commit", id) }, func(failed, out string, err error) {
		switch {
		case err == nil:
			// Some calls are not needed for the result: an event's text, or
			// deleting the lease. The image must be whole.
			if got := e.Must(t, "run", "--rm", out, "cat", "/x"); got != "x" {
				t.Errorf("%s failed, the commit did not, and the image holds %q", failed, got)
			}
			e.Must(t, "rmi", out)
		case !strings.Contains(out, "commit container "+id[:12]) || !strings.Contains(out, "was made to fail"):
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if status := e.Inspect(t, id, "{{.State.Status}}"); status != "running" {
			t.Errorf("%s failed, and the container is %s", failed, status)
		}
		e.SettledBut(t, failed, before)
	})
	e.Must(t, "rmi", last)
	e.SettledBut(t, "no failure", before)
}

// TestCreateFailsCleanly fails every call that creating a container makes.
func TestCreateFailsCleanly(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	before := e.State(t)
	harness.EachCall(t, p, func() (string, error) { return e.Try(t, "create", "--name", "fails", "busybox") }, func(failed, out string, err error) {
		if err == nil {
			e.Remove(t, "fails")
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if left := e.Must(t, "ps", "-aq"); left != "" {
			t.Errorf("%s failed, and container %s is left", failed, left)
		}
		e.SettledBut(t, failed, before)
	})
	e.Remove(t, "fails")
}

// TestDiffFailsCleanly fails every call that docker diff makes.
func TestDiffFailsCleanly(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	before := e.State(t)
	harness.EachCall(t, p, func() (string, error) { return e.Try(t, "diff", id) }, func(failed, out string, err error) {
		if err == nil && out != "A /x" {
			t.Errorf("%s failed, and docker diff prints %q", failed, out)
		}
		e.SettledBut(t, failed, before)
	})
}
