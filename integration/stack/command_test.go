package stack_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

func TestCommandRunsInside(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stack.Config{Flavor: stack.Stock, Env: []string{"KRILL=much"}})
	dir := t.TempDir()

	tests := map[string]struct{ script, want string }{
		"process":   {`tr '\0' ' ' </proc/1/cmdline | cut -d' ' -f1`, "baleen-stack-init"},
		"cgroup":    {`grep -c -v ':/$\|:/init$' /proc/self/cgroup`, "0"},
		"network":   {`ip route show default`, "default via 198.18.0.1 dev baleen0"},
		"mounts":    {`docker -H unix:///var/run/docker.sock version >/dev/null && test -S /var/run/docker/containerd/containerd.sock && echo there`, "there"},
		"docker":    {`docker version -f {{.Server.Os}}`, "linux"},
		"folder":    {`pwd`, dir},
		"variables": {`echo $KRILL $MORE`, "much yes"},
		"input":     {`cat`, "plankton"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := s.Command(t.Context(), "sh", "-c", test.script)
			cmd.Dir = dir
			cmd.Env = append(cmd.Env, "MORE=yes")
			cmd.Stdin = strings.NewReader("plankton")
			out, _ := cmd.CombinedOutput() // grep ends with 1
			if got := strings.TrimSpace(string(out)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestCommandEndsAsTheProgramDoes(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	tests := map[string]struct {
		argv []string
		want int
	}{
		"status":     {[]string{"sh", "-c", "exit 7"}, 7},
		"signal":     {[]string{"sh", "-c", "kill -TERM $$"}, 128 + int(unix.SIGTERM)},
		"no program": {[]string{"no-such-program"}, 125},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := s.Command(t.Context(), test.argv[0], test.argv[1:]...).Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.want {
				t.Errorf("got %v, want status %d", err, test.want)
			}
		})
	}
}

func TestCommandDiesWithItsContext(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.Command(ctx, "sleep", "4711").Run(); err == nil {
		t.Error("sleep was not killed")
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out, err := s.Command(t.Context(), "sh", "-c", "ps ax | grep '[s]leep 4711'").Output()
		if err != nil {
			return // grep found none
		}
		if time.Since(began) > 5*time.Second {
			t.Fatalf("sleep lives on: %s", out)
		}
	}
}

func TestCommandGetsSignals(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	cmd := s.Command(t.Context(), "sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(line); err != nil || string(line) != "caught" {
		t.Errorf("got %q, %v", line, err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("ended with %v", err)
	}
}
