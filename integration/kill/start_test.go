package kill_test

import (
	"testing"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKilledStart kills dockerd while it starts a container whose root it has
// mounted. With live-restore Moby leaves that so.
func TestKilledStart(t *testing.T) {
	e, proxy := harness.StartFaultyWith(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	before := e.State(t)
	id := e.Must(t, "create", "busybox", "sh", "-c", "echo more >> /file; cat /file")
	killed := make(chan error, 1)
	proxy.Set(fault.Plan{Methods: []string{"Tasks/Create"}, Nth: 1, Do: func() { killed <- e.KillDockerd(t.Context()) }})
	if out, err := e.Try(t, "start", id); err == nil {
		t.Fatalf("docker start went well: %s", out)
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	proxy.Clear()
	if mounts := e.Mounts(t); len(mounts) == len(before.Mounts) {
		t.Errorf("the container was not mounted when the daemon was killed: %v", mounts)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mounts := e.Mounts(t); len(mounts) != len(before.Mounts) {
		t.Errorf("mounted are %v", mounts)
	}
	e.Consistent(t)
	e.Snapshot(t, id, "after the kill")
	if got := e.Must(t, "start", "-a", id); got != "more" {
		t.Errorf("the container prints %q", got)
	}
	e.Remove(t, id)
	e.Settled(t, before)
}
