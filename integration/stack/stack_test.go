package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

// stock is what most tests here use: the harness is the same for both flavors,
// and stock does not depend on what is being worked on.
var stock = stack.Config{Flavor: stack.Stock}

func TestStackRunsContainersAndLeavesNothing(t *testing.T) {
	t.Parallel()
	began := time.Now()
	s := stack.ForTest(t, stock)
	t.Logf("started in %v", time.Since(began))
	load(t, s, "busybox")
	if got := docker(t, s, "run", "--rm", "-p", "8080:80", "-m", "100m", "busybox", "echo", "swims"); got != "swims" {
		t.Errorf("busybox said %q", got)
	}
	for _, d := range []stack.Daemon{stack.Dockerd, stack.Containerd} {
		cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.Pid(d)), "cmdline"))
		if err != nil || !strings.Contains(string(cmdline), s.Root()) {
			t.Errorf("Pid(%s) is not that of the daemon: %q, %v", d, cmdline, err)
		}
	}
	began = time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("stopped in %v", time.Since(began))
	if err := stack.Leftovers(s.Root()); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestLeftoversListsALiveStack(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	load(t, s, "busybox")
	docker(t, s, "run", "-d", "--name", "whale", "busybox", "top")
	err := stack.Leftovers(s.Root())
	if err == nil {
		t.Fatal("a live stack is no leftover")
	}
	for _, want := range []string{"baleen-stack-keeper", "baleen-stack-init", "dockerd-stock", "shim", "mount " + s.Root(), "cgroup /", "file " + s.Root()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	docker(t, s, "rm", "-f", "whale")
}

func TestDaemonsComeBack(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stack.Config{Flavor: stack.Stock, DaemonConfig: map[string]any{"live-restore": true}})
	load(t, s, "busybox")
	docker(t, s, "run", "-d", "--name", "whale", "--init", "busybox", "top")
	before := s.Pid(stack.Dockerd)

	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"kill dockerd", s.KillDockerd},
		{"start dockerd", s.StartDockerd},
		{"stop dockerd", s.StopDockerd},
		{"start dockerd", s.StartDockerd},
		{"kill containerd", s.KillContainerd},
		{"start containerd", s.StartContainerd},
		{"stop dockerd", s.StopDockerd},
		{"stop containerd", s.StopContainerd},
		{"start containerd", s.StartContainerd},
		{"start dockerd", s.StartDockerd},
	}
	for _, step := range steps {
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if after := s.Pid(stack.Dockerd); after == before || after == 0 {
		t.Errorf("dockerd was process %d and is now %d", before, after)
	}
	if got := docker(t, s, "inspect", "-f", "{{.State.Running}}", "whale"); got != "true" {
		t.Error("with live-restore the container has not lived on")
	}
	docker(t, s, "rm", "-f", "whale")
}

func TestTwoStacksDoNotMeet(t *testing.T) {
	t.Parallel()
	a, b := stack.ForTest(t, stock), stack.ForTest(t, stock)
	for _, s := range []*stack.Stack{a, b} {
		load(t, s, "busybox")
		docker(t, s, "run", "-d", "--name", "whale", "--init", "-p", "8080:80", "busybox", "httpd", "-f", "-h", "/etc")
	}
	docker(t, a, "rm", "-f", "whale")
	// By the network of the stack. The machine itself may have no program for it.
	id := docker(t, b, "ps", "-q")
	out := docker(t, b, "run", "--rm", "--network", "host", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/hostname")
	if name := strings.TrimSpace(out); name == "" || !strings.HasPrefix(id, name) {
		t.Errorf("container %s of the other stack answered %q", id, out)
	}
	docker(t, b, "rm", "-f", "whale")
}

func TestStorageDriverAndConfigReachTheDaemons(t *testing.T) {
	t.Parallel()
	for driver, want := range map[string]string{"": "overlayfs", "overlay2": "overlay2", "native": "native"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := stack.ForTest(t, stack.Config{
				Flavor: stack.Stock, StorageDriver: driver,
				ContainerdConfig: "[debug]\nlevel = \"debug\"\n",
				DockerdArgs:      []string{"--label", "flag=yes"},
				DaemonConfig:     map[string]any{"debug": true},
			})
			if got := docker(t, s, "info", "-f", "{{.Driver}} {{.Labels}} {{.Debug}}"); got != want+" [flag=yes] true" {
				t.Errorf("got %s", got)
			}
			if log := s.LogTail(stack.Containerd, 1000); !strings.Contains(log, "level=debug") {
				t.Error("containerd has not imported its configuration")
			}
		})
	}
}

func TestKeptRootGoesOn(t *testing.T) {
	t.Parallel()
	config := stack.Config{Flavor: stack.Stock, Root: shortDir(t) + "/kept", KeepRoot: true}
	first := stack.ForTest(t, config)
	load(t, first, "busybox")
	want := docker(t, first, "image", "inspect", "-f", "{{.Id}}", "busybox")
	stop(t, first)

	config.KeepRoot = false
	second := stack.ForTest(t, config)
	if got := docker(t, second, "image", "inspect", "-f", "{{.Id}}", "busybox"); got != want {
		t.Errorf("image %s has become %s", want, got)
	}
}

func TestBrokenDaemonIsReportedWithItsLog(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	if err := stack.CheckMachine(); err != nil {
		t.Skip(err)
	}
	_, err := stack.Start(t.Context(), stack.Config{
		Flavor: stack.Stock, Root: dir + "/broken", DaemonConfig: map[string]any{"no-such-option": true},
	})
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("got %v", err)
	}
	if err := stack.Leftovers(dir + "/broken"); err != nil {
		t.Error(err)
	}
}

func TestDetachedStackIsAttachedTo(t *testing.T) {
	t.Parallel()
	root := shortDir(t) + "/up"
	if _, err := stack.Attach(root); !errdefs.IsNotFound(err) {
		t.Errorf("attach to nothing: %v", err)
	}
	holder := hold(t, stack.Config{Flavor: stack.Stock, Root: root, Detach: true})
	holder.kill(t)
	s, err := stack.Attach(root)
	if err != nil {
		t.Fatal(err)
	}
	docker(t, s, "version")
	if want, err := stack.BinDir(); err != nil || s.BinDir() != want {
		t.Errorf("its programs are in %s, want %s (%v)", s.BinDir(), want, err)
	}
	if _, err := stack.Start(t.Context(), stack.Config{Flavor: stack.Stock, Root: root}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("start a second one in the same root: %v", err)
	}
	stop(t, s)
	if _, err := stack.Attach(root); !errdefs.IsNotFound(err) {
		t.Errorf("attach to a stopped one: %v", err)
	}
}

// load and docker are what a test of anything else would do, too.
func load(t *testing.T, s *stack.Stack, names ...string) {
	t.Helper()
	if err := s.LoadImages(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
}

func docker(t *testing.T, s *stack.Stack, args ...string) string {
	t.Helper()
	out, err := s.Docker(t.Context(), args...).Output()
	if err != nil {
		stderr := ""
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			stderr = string(exit.Stderr)
		}
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, stderr)
	}
	return strings.TrimSpace(string(out))
}

func stop(t *testing.T, s *stack.Stack) {
	t.Helper()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stack.Leftovers(s.Root()); err != nil {
		t.Fatal(err)
	}
}

// shortDir is a t.TempDir whose path leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "bt-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// holder is another process that holds a stack: this test binary, started again.
type holder struct {
	cmd  *exec.Cmd
	root string
}

const holdEnv = "STACK_TEST_HOLD"

func TestMain(m *testing.M) {
	switch config := os.Getenv(holdEnv); config {
	case "":
		os.Exit(m.Run())
	case "check":
		if err := stack.CheckMachine(); err != nil {
			os.Stdout.WriteString(err.Error())
		}
	default:
		os.Exit(beHolder(config))
	}
}

// beHolder starts a stack, prints its root and waits to be killed.
func beHolder(config string) int {
	var c stack.Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		panic(err)
	}
	s, err := stack.Start(context.Background(), c)
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	os.Stdout.WriteString(s.Root() + "\n")
	os.Stdout.Close()
	for { // and no select without cases, which Go takes for a deadlock where there is no cgo
		time.Sleep(time.Hour)
	}
}

func hold(t *testing.T, config stack.Config) *holder {
	t.Helper()
	if err := stack.CheckMachine(); err != nil {
		t.Skip(err)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"="+string(data))
	cmd.Stderr = os.Stderr
	// If this test is killed so is the holder, and that must be enough.
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &holder{cmd: cmd}
	t.Cleanup(func() { h.kill(t) })
	root := make([]byte, 200)
	n, err := out.Read(root)
	if err != nil {
		t.Fatalf("the holder of a stack did not start it: %v", err)
	}
	h.root = strings.TrimSpace(string(root[:n]))
	return h
}

func (h *holder) kill(t *testing.T) {
	t.Helper()
	if h.cmd.ProcessState != nil {
		return
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = h.cmd.Wait() // says that it was killed
}
