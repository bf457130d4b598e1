package guides_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// instructions are the commands of a fenced block in a page whose info string has
// run=NAME after the language. Readers do not see that.
type instructions struct {
	page     string // its path from the root
	line     int    // of the first command
	commands []string
}

// readInstructions reads the blocks to run from a page, by their names, which must be
// these.
func readInstructions(t *testing.T, page string, names ...string) map[string]instructions {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]instructions{}
	open := ""
	for i, line := range strings.Split(string(text), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		_, name, marked := strings.Cut(info, " run=")
		command, prompted := strings.CutPrefix(line, "# ")
		switch {
		case fence && open != "":
			open = ""
		case fence && marked:
			if _, twice := blocks[name]; twice {
				t.Fatalf("%s:%d: there is another block run=%s", page, i+1, name)
			}
			open, blocks[name] = name, instructions{page: page, line: i + 2}
		case open != "" && prompted:
			block := blocks[open]
			block.commands = append(block.commands, command)
			blocks[open] = block
		case open != "":
			t.Fatalf("%s:%d: %q does not begin with a prompt, so it cannot be run", page, i+1, line)
		}
	}
	for name, block := range blocks {
		if !slices.Contains(names, name) {
			t.Errorf("%s:%d: no test runs the block run=%s", page, block.line, name)
		}
	}
	for _, name := range names {
		if len(blocks[name].commands) == 0 {
			t.Fatalf("%s has no block run=%s, or no command in it", page, name)
		}
	}
	return blocks
}

// machine is a stack in the place of a machine on which containerd or Docker is
// installed. Its /etc, /run, /var/lib, /opt and /usr/local are its own.
type machine struct {
	*harness.Env
	dir      string // where commands are typed
	services map[string]*service
	// restart restarts the services of systemd that tests name.
	restart map[string]func(*testing.T)
}

// newMachine makes a machine of a stack that runs. The folder that commands are typed in
// is like this repository after `make build`, and /usr/local/bin has links to programs.
func newMachine(t *testing.T, e *harness.Env, programs map[string]string) *machine {
	t.Helper()
	m := &machine{Env: e, dir: filepath.Join(e.Root(), "tmp", "typed"), services: map[string]*service{}, restart: map[string]func(*testing.T){}}
	for _, dir := range []string{m.dir, "var", "opt", "local/bin"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bin, berr := stack.BinDir()
	sources, serr := filepath.Abs("../../cmd")
	if err := errors.Join(berr, serr); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{m.path(m.dir, "bin"): bin, m.path(m.dir, "cmd"): sources}
	for name, program := range programs {
		if !filepath.IsAbs(program) {
			program = filepath.Join(bin, program)
		}
		links[m.path("local/bin", name)] = program
	}
	for link, target := range links {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	m.run(t, "mkdir -p /etc/systemd/system")
	return m
}

// ownFolders gives the machine its /usr/local, and what else it is to have of its own.
func (m *machine) ownFolders(t *testing.T, dirs map[string]string) {
	t.Helper()
	for dir, at := range dirs {
		m.run(t, fmt.Sprintf("mount --bind %s %s", m.path(dir), at))
	}
}

// newContainerdMachine installs containerd with a configuration, and starts it. No
// dockerd runs. The folder that commands are typed in has app.tar: busybox as the image
// docker.io/library/app.
func newContainerdMachine(t *testing.T, containerd, config string) *machine {
	t.Helper()
	e := harness.Start(t, stack.Config{
		Flavor: stack.Stock, ContainerdBin: containerd, Etc: map[string]string{"containerd/config.toml": config},
	}, "busybox")
	m := newMachine(t, e, map[string]string{
		"containerd": containerd, "containerd-shim-runc-v2": "containerd-shim-runc-v2", "ctr": "ctr", "runc": "runc",
	})
	e.Must(t, "tag", "busybox", "app")
	e.Must(t, "save", "-o", m.path(m.dir, "app.tar"), "app")
	if err := errors.Join(e.StopDockerd(t.Context()), e.StopContainerd(t.Context())); err != nil {
		t.Fatal(err)
	}
	m.ownFolders(t, map[string]string{"var": "/var/lib", "opt": "/opt", "local": "/usr/local"})
	m.restart["containerd"] = func(t *testing.T) { m.start(t, "containerd", m.stop(t, "containerd")...) }
	t.Cleanup(func() { m.stopAll(t) })
	m.start(t, "containerd", "containerd")
	return m
}

// path is a file below the stack's folder of temporary files, or an absolute one.
func (m *machine) path(elem ...string) string {
	if filepath.IsAbs(elem[0]) {
		return filepath.Join(elem...)
	}
	return filepath.Join(append([]string{m.Root(), "tmp"}, elem...)...)
}

// follow runs a block of a page, line by line.
func (m *machine) follow(t *testing.T, block instructions) {
	t.Helper()
	for i, command := range block.commands {
		t.Logf("%s:%d: %s", block.page, block.line+i, command)
		if args, ok := strings.CutPrefix(command, "systemctl "); ok {
			m.systemctl(t, strings.Fields(args))
			continue
		}
		if out, err := m.try(t, command); err != nil {
			t.Fatalf("%s:%d: %s: %v\n%s", block.page, block.line+i, command, err, out)
		}
	}
}

// run has a shell run a line, which must succeed, and returns what that prints.
func (m *machine) run(t *testing.T, line string) string {
	t.Helper()
	out, err := m.try(t, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

func (m *machine) try(t *testing.T, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := m.command(ctx, "bash", "-eco", "pipefail", line)
	var stderr bytes.Buffer // has ctr's warnings as well
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n"), err
}

// command is a program with the environment of a login and nothing of the stack's.
func (m *machine) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := m.Command(ctx, "env", append([]string{
		"-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}, argv...)...)
	cmd.Dir = m.dir
	return cmd
}

// systemctl does what systemd would do with a page's orders: no systemd runs in a
// stack. systemd-analyze checks the unit, where there is one, and the command and the
// type of service that the unit names are used.
func (m *machine) systemctl(t *testing.T, args []string) {
	t.Helper()
	if len(args) == 2 && args[0] == "restart" && m.restart[args[1]] != nil {
		m.restart[args[1]](t)
		return
	}
	switch order := strings.Join(args, " "); order {
	case "enable --now baleen-containerd":
		const unit = "/etc/systemd/system/baleen-containerd.service"
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Log("left out: there is no systemd-analyze to check the unit")
		} else if out := m.run(t, "systemd-analyze verify "+unit+" 2>&1"); out != "" {
			t.Errorf("systemd-analyze says of the unit: %s", out)
		}
		text := m.run(t, "cat "+unit)
		_, program, found := strings.Cut(text, "\nExecStart=")
		if !found || !strings.Contains(text, "\nType=notify\n") {
			t.Fatalf("the unit does not say what to start, or not with Type=notify:\n%s", text)
		}
		program, _, _ = strings.Cut(program, "\n")
		m.start(t, "baleen-containerd", strings.Fields(program)...)
	case "disable --now baleen-containerd":
		m.stop(t, "baleen-containerd")
	case "daemon-reload":
	default:
		t.Fatalf("this test cannot do systemctl %s", order)
	}
}

// service is a daemon of a machine.
type service struct {
	argv  []string
	cmd   *exec.Cmd
	ended chan error
	log   string
}

// start starts a daemon, and waits until it notifies that it is ready.
func (m *machine) start(t *testing.T, name string, argv ...string) {
	t.Helper()
	socket := m.path("notify")
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(socket)
	defer notified.Close()
	s := &service{argv: argv, ended: make(chan error, 1), log: m.path(name + ".log")}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// It outlives the context of the test, which ends before the clean-up.
	s.cmd = m.command(context.WithoutCancel(t.Context()), append([]string{"NOTIFY_SOCKET=" + socket}, argv...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.services[name] = s
	go func() {
		s.ended <- s.cmd.Wait()
		notified.Close() // or else it would be waited for in vain
	}()
	if err := notified.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for message := make([]byte, 4096); ; {
		n, err := notified.Read(message)
		if err != nil {
			text, _ := os.ReadFile(s.log)
			t.Fatalf("%s does not become ready: %v\n%s", name, err, text)
		}
		if strings.Contains("\n"+string(message[:n])+"\n", "\nREADY=1\n") {
			return
		}
	}
}

// stop asks a daemon to end, and waits until it has. It returns what starts it again.
func (m *machine) stop(t *testing.T, name string) (argv []string) {
	t.Helper()
	s := m.services[name]
	if s == nil {
		t.Fatalf("%s does not run", name)
	}
	delete(m.services, name)
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Errorf("stop %s: %v", name, err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("stop %s: %v", name, err)
	}
	return s.argv
}

func (m *machine) stopAll(t *testing.T) {
	for _, name := range []string{"containerd", "baleen-containerd"} {
		s := m.services[name]
		if s == nil {
			continue
		}
		m.stop(t, name)
		if text, err := os.ReadFile(s.log); t.Failed() && err == nil {
			t.Logf("the log of %s:\n%s", name, text)
		}
	}
}
