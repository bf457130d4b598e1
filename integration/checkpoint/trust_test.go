package checkpoint_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestRestoreTrusts: a checkpoint from elsewhere must not get a folder of the host,
// or whatever else no image could, unless that is allowed. One of the daemon's own
// may.
func TestRestoreTrusts(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	kept := map[string][]string{
		"reaching": {"-v", "/etc:/host", "-v", "data:/data", "--cap-add", "SYS_ADMIN", "--pid", "host", "--security-opt", "systempaths=unconfined", "--annotation", "org.systemd.property.x=y"},
		"tame":     {"-v", "/anonymous", "--cap-drop", "CHOWN", "--security-opt", "no-new-privileges", "--tmpfs", "/t", "-m", "64m", "-e", "A=B"},
		"plain":    nil,
		"ordinary": {"--memory", "64m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "100", "--label", "a=b", "--health-cmd", "true",
			"--restart", "on-failure:3", "--read-only", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--hostname", "h", "--dns", "1.1.1.1",
			"--add-host", "a:1.2.3.4", "--ulimit", "nofile=1024", "--shm-size", "32m", "--init", "--stop-timeout", "5", "--log-opt", "max-size=10m",
			"--user", "1000", "--workdir", "/tmp", "--expose", "80", "-i", "-t", "--mount", "type=tmpfs,dst=/m,tmpfs-size=1m", "--mount", "type=volume,dst=/n",
			"--oom-score-adj", "100"},
		"without-network": {"--network", "none"},
	}
	saved := filepath.Join(t.TempDir(), "saved.tar")
	for name, options := range kept {
		id := e.Must(t, append(append([]string{"create", "--name", name}, options...), "busybox", "true")...)
		e.MakeCheckpoint(t, id, name+":1")
		e.Remove(t, id)
		e.Restore(t, name+":1", "--create-only")
	}
	e.Must(t, "save", "-o", saved, "reaching:1", "tame:1", "plain:1", "ordinary:1", "without-network:1")

	other := harness.Start(t, stack.Config{}, "busybox")
	other.Must(t, "load", "-i", saved)
	before := other.State(t)
	out, err := other.Try(t, "baleen", "restore", "--create-only", "reaching:1")
	if err == nil {
		t.Fatalf("a checkpoint from elsewhere got all that it asked for: %s", out)
	}
	for _, want := range []string{"volume or folder /etc", "volume or folder data", "SYS_ADMIN", "pid namespace of host", "system paths", "annotation org.systemd.property.x", "--trust"} {
		if !strings.Contains(out, want) {
			t.Errorf("the refusal does not say %q: %s", want, out)
		}
	}
	other.Settled(t, before)
	other.Restore(t, "tame:1", "--create-only")
	other.Restore(t, "ordinary:1", "--create-only")
	other.Restore(t, "without-network:1", "--create-only")
	other.Restore(t, "plain:1")
	other.Restore(t, "reaching:1", "--create-only", "--trust")
}
