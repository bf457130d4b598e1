package integration_test

import (
	"testing"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKilledStart kills dockerd while it starts a container whose root it has
// mounted. With live-restore Moby leaves that so.
func TestKilledStart(t *testing.T) {
	e, proxy := newFaultEnvWith(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	before := e.state(t)
	id := e.docker(t, "create", "busybox", "sh", "-c", "echo more >> /file; cat /file")
	killed := make(chan error, 1)
	proxy.Set(fault.Plan{Methods: []string{"Tasks/Create"}, Nth: 1, Do: func() { killed <- e.KillDockerd(t.Context()) }})
	if out, err := e.try(t, "start", id); err == nil {
		t.Fatalf("docker start went well: %s", out)
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	proxy.Clear()
	if mounts := e.mounts(t); len(mounts) == len(before.mounts) {
		t.Errorf("the container was not mounted when the daemon was killed: %v", mounts)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mounts := e.mounts(t); len(mounts) != len(before.mounts) {
		t.Errorf("mounted are %v", mounts)
	}
	e.consistent(t)
	e.snapshot(t, id, "after the kill")
	if got := e.docker(t, "start", "-a", id); got != "more" {
		t.Errorf("the container prints %q", got)
	}
	e.remove(t, id)
	e.settled(t, before)
}
