package harness

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
)

// DriverConfig has containerd's own baleen snapshotter as dockerd's storage driver.
var DriverConfig = stack.Config{
	StorageDriver:    "baleen",
	ContainerdConfig: "[plugins.'io.containerd.service.v1.diff-service']\ndefault = ['baleen', 'walking']\n",
}

// EngineLine is the engine line that the tests run on.
func EngineLine(t *testing.T) engine.Line {
	t.Helper()
	l, err := engine.Chosen()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// NoPauseOption is the option of docker commit that leaves the container running. The
// command of Moby 29 warns of the one that 28.5 has.
func NoPauseOption(t *testing.T) string {
	t.Helper()
	if EngineLine(t) == engine.V28 {
		return "--pause=false"
	}
	return "--no-pause"
}

// Configure has only these features in daemon.json, and no storage driver, when the
// daemon starts again.
func (e *Env) Configure(t *testing.T, features map[string]any) {
	t.Helper()
	path := filepath.Join(e.Root(), "daemon.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	delete(config, "storage-driver")
	config["features"] = features
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	WriteFile(t, path, string(text))
}

// MustLog checks that dockerd has logged these texts.
func (e *Env) MustLog(t *testing.T, texts ...string) {
	t.Helper()
	log := e.LogTail(stack.Dockerd, 1000)
	for _, text := range texts {
		if !strings.Contains(log, text) {
			t.Errorf("dockerd does not log %s:\n%s", text, log)
		}
	}
}

// SwitchTo ends the daemon and starts the other one on its data.
func (e *Env) SwitchTo(t *testing.T, flavor stack.Flavor) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), flavor); err != nil {
		t.Fatal(err)
	}
	version := e.Must(t, "version", "-f", "{{.Server.Version}}")
	if got := strings.Contains(version, "baleen"); got != (flavor == stack.Fork) {
		t.Fatalf("the server's version is %s, not that of %s", version, flavor)
	}
}

// RestartDockerd ends the daemon and starts the fork on its data.
func (e *Env) RestartDockerd(t *testing.T) {
	t.Helper()
	e.SwitchTo(t, stack.Fork)
}

// SparingConfig is that of a daemon whose commits seal, and with no network to set up.
func SparingConfig() stack.Config {
	return stack.Config{DaemonConfig: map[string]any{"bridge": "none", "features": map[string]any{"baleen-seal-commits": true}}}
}

// UsernsConfig is that of a daemon whose containers have a user namespace. Its
// namespace of containerd is named, which Moby would choose by the mapping.
func UsernsConfig(way string, more map[string]any) stack.Config {
	const shift = "daemon:100000:65536\n"
	config := map[string]any{"userns-remap": "daemon", "containerd-namespace": "moby", "live-restore": true}
	if way != "" {
		config["storage-opts"] = []string{"baleen.idmap=" + way}
	}
	maps.Copy(config, more)
	return stack.Config{Etc: map[string]string{"subuid": shift, "subgid": shift}, DaemonConfig: config}
}
