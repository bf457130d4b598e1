package guides_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestReadmeForDocker does what the README says about an existing Docker, on a machine
// where stock dockerd has made a container, and takes it away again.
func TestReadmeForDocker(t *testing.T) {
	blocks := readInstructions(t, "README.md", "docker", "docker-away")
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, Etc: map[string]string{"docker/daemon.json": "{}\n"}}, "busybox")
	m := newMachine(t, e, map[string]string{"docker": "docker", "dockerd": "dockerd-stock", "docker-proxy": "docker-proxy"})
	m.ownFolders(t, map[string]string{"local": "/usr/local"})
	m.restart["docker"] = m.restartDocker
	e.Must(t, "run", "--name", "of-stock", "busybox", "sh", "-c", "echo before > /data")

	m.follow(t, blocks["docker"])
	if got := e.Must(t, "info", "-f", "{{json .DriverStatus}}"); !strings.Contains(got, "Baleen") {
		t.Errorf("docker info says %s", got)
	}
	e.Must(t, "commit", "of-stock", "of-baleen")

	m.follow(t, blocks["docker-away"])
	if got := e.Must(t, "info", "-f", "{{json .DriverStatus}}"); strings.Contains(got, "Baleen") {
		t.Errorf("docker info still says %s", got)
	}
	e.Must(t, "start", "of-stock")
	if got := e.Must(t, "run", "--rm", "of-baleen", "cat", "/data"); got != "before" {
		t.Errorf("the image that Baleen has made holds %q", got)
	}
}

// restartDocker does what systemd would do: it starts what a drop-in has in place of the
// unit's own command. The stack gives dockerd its folders and its socket, so of the
// options in the drop-in dockerd only says whether they are right.
func (m *machine) restartDocker(t *testing.T) {
	t.Helper()
	flavor := stack.Stock
	dropIn := m.run(t, "cat /etc/systemd/system/docker.service.d/*.conf 2>/dev/null || true")
	if dropIn != "" {
		lines := strings.Split(dropIn, "\n")
		command, ok := strings.CutPrefix(lines[len(lines)-1], "ExecStart=")
		if len(lines) != 3 || lines[0] != "[Service]" || lines[1] != "ExecStart=" || !ok {
			t.Fatalf("this is no drop-in that replaces the command of a service:\n%s", dropIn)
		}
		m.run(t, command+" --validate")
		program, _, _ := strings.Cut(command, " ")
		m.run(t, "cmp "+program+" bin/dockerd")
		flavor = stack.Fork
	}
	m.SwitchTo(t, flavor)
}
