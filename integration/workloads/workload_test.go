package workloads_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestWorkloads upgrades and rolls back containers with real programs. They share a stack,
// since their image is large.
func TestWorkloads(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "debian:workloads", "busybox")
	for name, test := range map[string]func(*testing.T, *harness.Env){
		"services": survivingServices, "data": dataThatAnImageBrought, "merged usr": mergedUsr,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// build builds an image of a Dockerfile.
func build(t *testing.T, e *harness.Env, name, dockerfile string) {
	t.Helper()
	if out, err := e.Build(t, dockerfile, "-t", name); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
}

// container is one that runs a workload.
type container struct {
	*harness.Env
	name string
}

// run starts a container and waits until it has said that it is ready.
func run(t *testing.T, e *harness.Env, name string, args ...string) *container {
	t.Helper()
	e.Must(t, append([]string{"run", "-d", "--name", name}, args...)...)
	t.Cleanup(func() { e.Remove(t, name) })
	c := &container{e, name}
	c.ready(t)
	return c
}

// ready waits until the container has said so since it was last started.
func (c *container) ready(t *testing.T) {
	t.Helper()
	since := c.Inspect(t, c.name, "{{.State.StartedAt}}")
	harness.Eventually(t, c.name+" to be ready", func() error {
		if logs := c.Must(t, "logs", "--since", since, c.name); !strings.Contains(logs, "ready") {
			return fmt.Errorf("so far it printed %q", logs)
		}
		return nil
	})
}

// do runs a script in the container, which must succeed, and returns what it prints.
func (c *container) do(t *testing.T, script string) string {
	t.Helper()
	return c.Must(t, "exec", c.name, "bash", "-ec", script)
}

// says fails unless a script prints a text.
func (c *container) says(t *testing.T, script, want string) {
	t.Helper()
	if got := c.do(t, script); got != want {
		t.Errorf("%s prints %q, want %q", script, got, want)
	}
}

// upgrade upgrades the container, and returns what that prints.
func (c *container) upgrade(t *testing.T, args ...string) string {
	t.Helper()
	out := c.Must(t, append([]string{"baleen", "upgrade", "--health-timeout", "1s", c.name}, args...)...)
	c.ready(t)
	return out
}

// failUpgrade upgrades the container to an image that does not come up.
func (c *container) failUpgrade(t *testing.T, image string) {
	t.Helper()
	out, err := c.Try(t, "baleen", "upgrade", "--health-timeout", "1s", c.name, image)
	if err == nil || !strings.Contains(out, "is again as it was before") {
		t.Errorf("an upgrade to %s gave %v\n%s", image, err, out)
	}
	c.ready(t)
}

func (c *container) rollback(t *testing.T, args ...string) {
	t.Helper()
	c.Must(t, append([]string{"baleen", "rollback", c.name}, args...)...)
	c.ready(t)
}
