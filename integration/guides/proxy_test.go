package guides_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestReadmeForAnyContainerd does what containerd.md says about baleen-containerd, on a
// machine with a containerd as it is, of which a container runs all the time.
func TestReadmeForAnyContainerd(t *testing.T) {
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	blocks := proxyInstructions(t)
	for name, program := range harness.Proxied {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(bin, program)
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				t.Skipf("there is no %s: run `make build newest`", path)
			}
			// That of 2.1 imports nothing, and says so; that of 2.4 imports the folder.
			config, err := harness.Output(exec.CommandContext(t.Context(), path, "config", "default"))
			if err != nil {
				t.Fatal(err)
			}
			followProxy(t, newContainerdMachine(t, path, config), blocks)
		})
	}
}

// proxyInstructions are the blocks of the page about baleen-containerd.
func proxyInstructions(t *testing.T) map[string]instructions {
	t.Helper()
	return readInstructions(t, "docs/containerd.md", "install", "use", "differ-for-all", "move", "remove")
}

// followProxy follows all instructions, and looks after each whether it did what the
// page says.
func followProxy(t *testing.T, m *machine, blocks map[string]instructions) {
	m.run(t, "ctr image import app.tar")
	m.run(t, "ctr run --detach --snapshotter overlayfs docker.io/library/app:latest web sleep infinity")

	m.follow(t, blocks["install"])
	m.webRunsOn(t, "overlayfs")
	m.follow(t, blocks["use"])
	if got := m.run(t, "ctr snapshot --snapshotter baleen ls | grep -c Committed"); got != "1" {
		t.Errorf("the image has %s snapshots", got)
	}
	m.needDaemon(t, map[string]bool{"overlayfs": false, "baleen": true})

	m.follow(t, blocks["differ-for-all"])
	m.webRunsOn(t, "overlayfs")
	m.needDaemon(t, map[string]bool{"overlayfs": true, "baleen": true})
	m.run(t, "ctr task exec --exec-id write web sh -c 'echo hi > /written'")
	if got := m.run(t, "ctr snapshot --snapshotter overlayfs diff web | tar -tz"); !strings.Contains("\n"+got+"\n", "\nwritten\n") {
		t.Errorf("the layer has %q", got)
	}

	m.follow(t, blocks["move"])
	m.webRunsOn(t, "baleen")
	back := blocks["move"]
	back.commands = slices.Clone(back.commands)
	for i, command := range back.commands {
		back.commands[i] = strings.Replace(command, "--snapshotter baleen", "--snapshotter overlayfs", 1)
	}
	m.follow(t, back)
	m.webRunsOn(t, "overlayfs")
	m.follow(t, blocks["remove"])
	m.webRunsOn(t, "overlayfs")
	m.run(t, "ctr image import app.tar")
	m.run(t, "ctr run --rm docker.io/library/app:latest last /bin/true")

	// Who comes again finds everything in order, and so does who has the configuration of
	// Docker's package, which is of no version.
	m.run(t, `echo 'disabled_plugins = ["cri"]' > /etc/containerd/config.toml`)
	m.follow(t, blocks["install"])
	m.follow(t, blocks["use"])
}

// webRunsOn checks that the container runs, and whose snapshot it has.
func (m *machine) webRunsOn(t *testing.T, sn string) {
	t.Helper()
	if got := m.run(t, "ctr task ls | grep web"); !strings.HasSuffix(got, "RUNNING") {
		t.Errorf("the task of web: %s", got)
	}
	m.run(t, "ctr task exec --exec-id look web test -e /bin/true")
	if got := m.run(t, "ctr container info web"); !strings.Contains(got, `"Snapshotter": "`+sn+`"`) {
		t.Errorf("web is not on %s:\n%s", sn, got)
	}
}

// needDaemon checks for which snapshotters images can be unpacked, and containers
// compared, while baleen-containerd is away.
func (m *machine) needDaemon(t *testing.T, needs map[string]bool) {
	t.Helper()
	argv := m.stop(t, "baleen-containerd")
	for sn, needed := range needs {
		for _, how := range []string{"", "--local "} {
			// What a namespace has not unpacked is unpacked, whatever others have.
			out, err := m.try(t, "ctr -n "+sn+" image import "+how+"--snapshotter "+sn+" app.tar")
			if needed != (err != nil) {
				t.Errorf("without baleen-containerd an import %sfor %s: %v: %s", how, sn, err, out)
			}
			m.run(t, "ctr -n "+sn+" image rm --sync docker.io/library/app:latest || true")
		}
	}
	const compare = "ctr snapshot --snapshotter overlayfs diff web | wc -c"
	if out, err := m.try(t, compare); needs["overlayfs"] != (err != nil) {
		t.Errorf("without baleen-containerd a comparison on overlayfs: %v: %s", err, out)
	}
	m.start(t, "baleen-containerd", argv...)
	harness.Eventually(t, "containerd to find baleen-containerd again", func() error {
		_, err := m.try(t, compare+" && ctr snapshot --snapshotter baleen ls")
		return err
	})
}
