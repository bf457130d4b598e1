package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/baleen-project/baleen/integration/stack"
)

// Snapshotter is the one that dockerd has by default.
const Snapshotter = "overlayfs"

// Env is a running stack with the means to look at it from all sides.
type Env struct {
	*stack.Stack
	Client *containerd.Client
}

// Start starts a stack that lasts until the end of the test, and loads base images
// into it. The test fails if anything outlives the stack.
func Start(t *testing.T, c stack.Config, images ...string) *Env {
	t.Helper()
	s := stack.ForTest(t, c)
	if len(images) > 0 {
		if err := s.LoadImages(t.Context(), images...); err != nil {
			t.Fatal(err)
		}
	}
	client, err := containerd.New(s.ContainerdAddress(), containerd.WithDefaultNamespace(s.ContainerdNamespace()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Env{Stack: s, Client: client}
}

// Context is the test's context in the daemon's containerd namespace.
func (e *Env) Context(t *testing.T) context.Context {
	return namespaces.WithNamespace(t.Context(), e.ContainerdNamespace())
}

// Must runs the CLI, which must succeed, and returns what it prints, without
// the line's end.
func (e *Env) Must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.Try(t, args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Try runs the CLI and returns what it prints on both outputs.
func (e *Env) Try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return Output(e.Docker(t.Context(), args...))
}

// Output runs a command and returns what it prints on both outputs, without the line's
// end.
func Output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

// WriteFile writes a file that all may read.
func WriteFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Run starts a container that executes a script and then sleeps, and returns
// its id once the script is done.
func (e *Env) Run(t *testing.T, image, script string, flags ...string) string {
	t.Helper()
	args := append([]string{"run", "-d"}, flags...)
	id := e.Must(t, append(args, image, "sh", "-c", "trap 'exit 0' TERM; { "+script+"\n}; echo ready; while :; do sleep 0.1; done")...)
	t.Cleanup(func() { e.Remove(t, id) })
	Eventually(t, "the script of "+id[:12]+" to end", func() error {
		logs := e.Must(t, "logs", id)
		if !strings.HasSuffix(logs, "ready") {
			return fmt.Errorf("so far it printed %q", logs)
		}
		return nil
	})
	return id
}

// Remove removes a container with its volumes, if it is still there.
func (e *Env) Remove(t *testing.T, id string) {
	t.Helper()
	// The test's context has ended when clean-up runs. The command returns when
	// containerd has deleted the container's files, which are tens of thousands in
	// some tests: on a busy disk that takes minutes.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := Output(e.Docker(ctx, "rm", "-f", "-v", id))
	if err != nil && !strings.Contains(out, "No such container") {
		t.Errorf("docker rm -f %s: %v\n%s", id, err, out)
	}
}

// Eventually waits up to 20 seconds for check to succeed.
func Eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("waited in vain for %s: %v", what, err)
}

// Inspect decodes one object of `docker inspect`.
func (e *Env) Inspect(t *testing.T, name, format string) string {
	t.Helper()
	return e.Must(t, "inspect", "-f", format, name)
}

// Create makes a container that does not run.
func (e *Env) Create(t *testing.T, args ...string) (id string) {
	t.Helper()
	out := e.Must(t, append([]string{"create", "--network=none"}, args...)...)
	id = out[strings.LastIndexByte(out, '\n')+1:]
	t.Cleanup(func() { e.Remove(t, id) })
	return id
}

// MustRead fails unless a file of a running container has a text.
func (e *Env) MustRead(t *testing.T, name, path, text string) {
	t.Helper()
	if got := e.Must(t, "exec", name, "cat", path); got != text {
		t.Errorf("%s of %s holds %q, want %q", path, name, got, text)
	}
}

// Expect returns an error unless both texts are equal.
func Expect(got, want string) error {
	if got != want {
		return &unexpected{got, want}
	}
	return nil
}

type unexpected struct{ got, want string }

func (u *unexpected) Error() string { return "it is " + u.got + ", not " + u.want }
