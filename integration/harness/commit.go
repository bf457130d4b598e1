package harness

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

// OperationLeases leaves out the leases of containers, which have no label.
func OperationLeases(leases []string) []string {
	return slices.DeleteFunc(slices.Clone(leases), func(l string) bool { return strings.HasSuffix(l, " map[]") })
}

// CommitUnpaused checks the events of a commit that does not pause the container.
func CommitUnpaused(t *testing.T, e *Env) {
	id := e.Run(t, "busybox", "echo x > /x")
	if got := Events(t, e, id, func() { e.Must(t, "commit", NoPauseOption(t), id) }); !slices.Equal(got, []string{"commit"}) {
		t.Errorf("events were %v", got)
	}
}

// Events returns the actions of a container's events while f runs.
func Events(t *testing.T, e *Env, id string, f func()) []string {
	t.Helper()
	since := e.Must(t, "info", "-f", "{{.SystemTime}}")
	f()
	until := e.Must(t, "info", "-f", "{{.SystemTime}}")
	out := e.Must(t, "events", "--since", since, "--until", until, "-f", "container="+id, "--format", "{{.Action}}")
	return strings.Fields(out)
}

// AtOnce is what a test waits at most for what takes seconds. What must not be
// done would take many times that.
const AtOnce = 60 * time.Second

// TryWithin runs docker, and ends it if it takes too long.
func (e *Env) TryWithin(t *testing.T, limit time.Duration, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := Output(e.Docker(ctx, args...))
	if ctx.Err() != nil {
		t.Fatalf("docker %s has not ended after %v: %s", strings.Join(args, " "), limit, out)
	}
	return out, err
}

// BytesWritten is what dockerd has written so far, in bytes: to files, copied ranges
// included, and to containerd.
func (e *Env) BytesWritten(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", e.Pid(stack.Dockerd)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text[strings.Index(string(text), "wchar"):]), "wchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}
