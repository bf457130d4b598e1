package compose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestSharedNamespaces upgrades and rolls back a container whose network and pid namespaces
// others share. As reported for containrrr/watchtower#1013 and #1286, nicholas-fedor/watchtower#961
// and Finsys/dockhand#564: those lost their network, or did not start again.
func TestSharedNamespaces(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	e.BuildApp(t, "app:bad", "CMD [\"false\"]\n")
	run := func(name string, flags ...string) {
		t.Helper()
		e.Must(t, slices.Concat([]string{"run", "-d", "--name", name, "--stop-timeout=1"}, flags, []string{"app:1"})...)
		t.Cleanup(func() { e.Remove(t, name) })
	}
	run("vpn")
	run("client", "--network=container:vpn")
	run("debug", "--pid=container:vpn")
	run("stopped", "--network=container:vpn")
	e.Must(t, "stop", "stopped")
	run("other")
	shared := func(t *testing.T, want bool) {
		t.Helper()
		vpn, client := e.Must(t, "exec", "vpn", "readlink", "/proc/1/ns/net"), e.Must(t, "exec", "client", "readlink", "/proc/self/ns/net")
		if (vpn == client) != want {
			t.Errorf("the networks are %s and %s", vpn, client)
		}
	}
	runs := func(t *testing.T, name string, want bool) {
		t.Helper()
		if got := e.Inspect(t, name, "{{.State.Running}}"); got != fmt.Sprint(want) {
			t.Errorf("container %s runs: %s", name, got)
		}
	}
	shared(t, true)

	plan, result := e.Upgrade(t, "vpn", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1, RestartDependents: true})
	var told []string
	for _, d := range plan.Dependents {
		told = append(told, fmt.Sprint(d.Name, d.Shares, d.Running))
	}
	if want := []string{"client[network] true", "debug[pid] true", "stopped[network] false"}; !slices.Equal(told, want) || len(plan.Warnings) != 0 {
		t.Errorf("the plan tells of %q, and warns %q", told, plan.Warnings)
	}
	if want := []string{"client", "debug"}; !slices.Equal(result.Restarted, want) || len(result.Warnings) != 0 {
		t.Errorf("restarted are %q, the warnings %q", result.Restarted, result.Warnings)
	}
	shared(t, true)
	runs(t, "debug", true)
	runs(t, "stopped", false)

	// An upgrade that is taken back.
	if _, result = e.Upgrade(t, "vpn", api.UpgradeRequest{Image: "app:bad", RestartDependents: true}); result.RolledBack == "" || len(result.Restarted) != 2 {
		t.Errorf("the result is %+v", result)
	}
	shared(t, true)

	// Without the option both are named, before and after.
	plan, result = e.Rollback(t, "vpn", api.RollbackRequest{})
	if len(plan.Warnings) != 2 || !strings.Contains(plan.Warnings[0], "container client shares the network namespace of vpn") {
		t.Errorf("the plan warns %q", plan.Warnings)
	}
	if len(result.Restarted) != 0 || len(result.Warnings) != 2 || !strings.Contains(result.Warnings[0], "docker restart client") {
		t.Errorf("restarted are %q, the warnings %q", result.Restarted, result.Warnings)
	}
	shared(t, false)
	e.Must(t, "restart", "client")
	shared(t, true)
}
