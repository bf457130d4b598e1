package checkpoint_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestRestoreBesideTheOriginal restores a container while the one that was checkpointed
// runs, which has its name, ports, networks and volumes.
func TestRestoreBesideTheOriginal(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	folder := t.TempDir()
	harness.WriteFile(t, filepath.Join(folder, "file"), "of the host\n")
	e.Must(t, "network", "create", "--subnet", "172.30.0.0/24", "front")
	e.Must(t, "network", "create", "--subnet", "172.31.0.0/24", "back")
	e.Must(t, "run", "-d", "--init=false", "--name", "web", "--network", "front", "--ip", "172.30.0.7", "-p", "18080:80",
		"-v", "data:/data", "-v", folder+":/host:ro", "busybox", "sh", "-c", "echo original > /www; exec httpd -f -h /")
	t.Cleanup(func() { e.Remove(t, "web") })
	e.Must(t, "exec", "web", "touch", "/data/mine")
	e.Must(t, "baleen", "checkpoint", "--no-process", "web", "web:1")

	// As reported in https://github.com/containers/podman/issues/10338: the ports of the
	// original are taken, and there was no option for others.
	t.Run("in the way", func(t *testing.T) {
		for _, test := range []struct{ options, want string }{
			{"", "--name gives"},
			{"--name copy", "--ip or --network gives"},
			{"--name copy --ip 172.30.0.8", "--publish gives"},
		} {
			out, err := e.Try(t, append([]string{"baleen", "restore", "web:1"}, strings.Fields(test.options)...)...)
			if err == nil || !strings.Contains(out, test.want) || !strings.Contains(out, "WARNING: volumes are new") {
				t.Errorf("restore %s: %v, without %q\n%s", test.options, err, test.want, out)
			}
		}
	})
	t.Run("beside", func(t *testing.T) {
		copied := e.Restore(t, "web:1", "--name", "copy", "--publish", "18081:80", "--network", "back", "--ip", "172.31.0.8",
			"--hostname", "twin", "--volume", "copy-data:/data")
		if got := e.Inspect(t, copied, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}} {{.Config.Hostname}}"); got != "172.31.0.8 twin" {
			t.Errorf("the copy has %s", got)
		}
		if got := e.Inspect(t, "web", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"); got != "172.30.0.7" {
			t.Errorf("the original has %s", got)
		}
		e.Must(t, "exec", copied, "sh", "-c", "echo copy > /www")
		e.MustRead(t, "web", "/www", "original")
		harness.Eventually(t, "the copy to answer", func() error { return answers(t, e, "18081", "copy") })
		harness.Eventually(t, "the original to answer", func() error { return answers(t, e, "18080", "original") })
		if out, err := e.Try(t, "exec", copied, "ls", "/data/mine"); err == nil {
			t.Errorf("the copy has the original's volume: %s", out)
		}
		// As in the restore of https://github.com/benchflow-ai/benchflow/pull/470, which runs
		// a committed image: folders of the host were not in the restored container.
		e.MustRead(t, copied, "/host/file", "of the host")
		if out, err := e.Try(t, "exec", copied, "touch", "/host/new"); err == nil {
			t.Errorf("it can write to the folder of the host: %s", out)
		}
	})
	t.Run("no ports, no network", func(t *testing.T) {
		copied := e.Restore(t, "web:1", "--name", "alone", "--publish", "none", "--network", "none", "--create-only")
		if got := e.Inspect(t, copied, "{{.HostConfig.PortBindings}} {{.HostConfig.NetworkMode}}"); got != "map[] none" {
			t.Errorf("it has ports and network %s", got)
		}
	})
	t.Run("without its image", func(t *testing.T) {
		e.Must(t, "rm", "-f", "web", "copy", "alone")
		e.Must(t, "rmi", "busybox")
		const names = "{{.Repository}}:{{.Tag}}"
		copied := e.Restore(t, "web:1", "--publish", "none")
		image := e.Must(t, "images", "--format", names, "baleen-restored.invalid/busybox")
		if !strings.HasPrefix(image, "baleen-restored.invalid/busybox:") || strings.Contains(image, "\n") {
			t.Errorf("the image from the checkpoint is called %q", image)
		}
		if got := e.Inspect(t, copied, "{{.Config.Image}}"); got != "busybox" {
			t.Errorf("the container's image is called %s", got)
		}
		if got := e.Must(t, "run", "--rm", image, "echo", "it runs"); got != "it runs" {
			t.Errorf("the image prints %q", got)
		}
		e.Must(t, "rm", "-f", copied)
		e.Must(t, "rmi", image)
		if out, err := e.Try(t, "baleen", "restore", "--name", "failing", "--network", "nowhere", "web:1"); err == nil {
			t.Errorf("on a network that is not there it prints %q", out)
		}
		if left := e.Must(t, "images", "-a", "--format", names); left != "web:1" {
			t.Errorf("there are the images %s", left)
		}
	})
}

// answers is an error if a port that is published does not answer a request for /www.
func answers(t *testing.T, e *harness.Env, port, want string) error {
	out, err := e.Command(t.Context(), "curl", "-sS", "--max-time", "2", "http://127.0.0.1:"+port+"/www").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return harness.Expect(strings.TrimSpace(string(out)), want)
}

// TestRestoreSaysWhyProcessesFail: the error has CRIU's reason, the warnings come with it,
// and nothing remains.
func TestRestoreSaysWhyProcessesFail(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	e.Must(t, "run", "-d", "--init=false", "--name", "open", "-v", "/data", "busybox", "sh", "-c", "exec 3>/data/file; exec sleep 1000")
	t.Cleanup(func() { e.Remove(t, "open") })
	e.Must(t, "baleen", "checkpoint", "--leave-running", "open", "open:1")
	before := e.State(t)
	out, err := e.Try(t, "baleen", "restore", "-q", "--name", "copy", "open:1")
	for _, want := range []string{
		"WARNING: volumes are new, or what this daemon has by their names: /data",
		"restore open:1: restore the processes: ", "Can't open file data/file on restore: No such file or directory",
	} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("it prints, without %q (%v)\n%s", want, err, out)
		}
	}
	e.Settled(t, before)
	if out, err := e.Try(t, "baleen", "restore", "--name", "copy", "--hostname", "twin", "open:1"); err == nil || !strings.Contains(out, "the processes in the checkpoint have theirs") {
		t.Errorf("with another host name it prints %q", out)
	}
	// With the file in the volume they go on.
	e.Must(t, "run", "--rm", "-v", "kept:/data", "busybox", "touch", "/data/file")
	copied := e.Restore(t, "open:1", "--name", "copy", "--volume", "kept:/data")
	if got := e.Inspect(t, copied, "{{.State.Status}}"); got != "running" {
		t.Errorf("the copy is %s", got)
	}
}

// TestCheckOfACheckpoint: what the check of a container says is what a checkpoint does.
func TestCheckOfACheckpoint(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	for name, options := range map[string][]string{
		"root": nil, "user": {"--user", "1234"}, "terminal": {"-t"},
	} {
		args := append([]string{"run", "-d", "--init=false", "--name", name}, options...)
		e.Must(t, append(args, "busybox", "sleep", "1000")...)
		t.Cleanup(func() { e.Remove(t, name) })
		said, unable := e.Try(t, "baleen", "checkpoint", "--check", name)
		made, failed := e.Try(t, "baleen", "checkpoint", "--leave-running", name, name+":1")
		if (unable == nil) != (failed == nil) {
			t.Errorf("%s: the check says %q (%v), and the checkpoint %q (%v)", name, said, unable, made, failed)
		}
		if unable == nil && said != "The daemon can keep the processes of "+name+", with CRIU "+criuVersion(t)+"." {
			t.Errorf("%s: the check says %q", name, said)
		}
		want := map[string]string{"user": "(sleep) is of user 1234, and the daemon lacks the capability CAP_SYS_RESOURCE", "terminal": "it has a terminal"}[name]
		if unable != nil && !strings.Contains(said, want) {
			t.Errorf("%s: the check says %q, without %q", name, said, want)
		}
	}
	e.Must(t, "stop", "-t", "0", "root")
	if out, err := e.Try(t, "baleen", "checkpoint", "--check", "root"); err == nil || !strings.Contains(out, "it does not run") {
		t.Errorf("of a stopped container the check says %q", out)
	}
	if out, err := e.Try(t, "baleen", "checkpoint", "--check", "nothing"); err == nil || !strings.Contains(out, "No such container: nothing") {
		t.Errorf("of no container the check says %q", out)
	}
}

func criuVersion(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "criu", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(out)) // Version: 4.2.1
	if len(words) < 2 {
		t.Fatalf("criu --version prints %q", out)
	}
	return words[1]
}
