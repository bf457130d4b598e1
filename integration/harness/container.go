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

const (
	// LookScript tells what a container is from inside: image, environment and
	// all files.
	LookScript = `cd /; cat /version; tr '\0' '\n' < /proc/1/environ | grep FROM_IMAGE
		all() { find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path './etc/host*' -o -path ./etc/resolv.conf -o -path ./etc/mtab -o -path ./.dockerenv \) -prune -o "$@" -print0 | sort -z; }
		all -name '*' | xargs -0 stat -c '%n %f %u %g' | md5sum; all -type f -size -200k | xargs -0 md5sum | md5sum`
	// LoopScript follows a script of a container that stays until it is stopped.
	LoopScript = `; trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done`
)

// DescribeWhole tells what a container is from all sides. One that does not run is
// started.
func (e *Env) DescribeWhole(t *testing.T, id string) string {
	t.Helper()
	said := e.Inspect(t, id, "{{.Image}} {{.Config.Image}} {{json .Config.Env}} {{json .Config.Cmd}} {{json .ImageManifestDescriptor}}")
	copied := e.Must(t, "cp", id+":/version", "-")
	var looks string
	switch stays := strings.Contains(said, "echo ready"); {
	case !stays:
		looks = e.Must(t, "start", "-a", id)
	case e.Inspect(t, id, "{{.State.Running}}") != "true":
		Eventually(t, "the container to start", func() error {
			// After a start that was cut containerd may still be cleaning up.
			out, err := e.Try(t, "start", id)
			if err != nil {
				t.Logf("docker start: %s", out)
			}
			return err
		})
		fallthrough
	default:
		looks = e.look(t, id)
	}
	name, _, _ := strings.Cut(looks, "\n")
	if !strings.Contains(copied, name) {
		t.Errorf("docker cp of /version gave %q, and inside it is %s", copied, name)
	}
	return said + "\n" + looks
}

// look tells what a running container is from inside. In one that containerd was
// starting when it was killed no command can be run, and a restart does not help,
// on stock neither: then it is stopped, and an image of it is looked at.
func (e *Env) look(t *testing.T, id string) string {
	t.Helper()
	out, err := e.Try(t, "exec", id, "sh", "-c", LookScript)
	if err == nil {
		return out
	}
	if !strings.Contains(out, "fork/exec /proc/self/fd/") {
		t.Fatalf("docker exec: %v: %s", err, out)
	}
	t.Logf("the container was half started: docker exec: %s", out)
	e.Must(t, "kill", id)
	image := e.Must(t, "commit", id)
	out = e.Must(t, "run", "--rm", "--network=none", image, "sh", "-c", LookScript)
	e.Must(t, "rmi", image)
	e.Must(t, "start", id)
	return out
}
