package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon names one of the daemons of a stack.
type Daemon string

// The daemons that every stack has.
const (
	Containerd Daemon = "containerd"
	Dockerd    Daemon = "dockerd"
)

const (
	// startPatience is how long a daemon may take until it answers.
	startPatience = 60 * time.Second
	// stopPatience is how long one may take to end after SIGTERM. dockerd
	// gives containers 15 of these seconds.
	stopPatience = 30 * time.Second
)

// StartContainerd starts containerd, which must not be running, and waits until
// it answers. Start has done so already; this is for after a stop or a kill.
func (s *Stack) StartContainerd(ctx context.Context) error {
	binary := s.config.ContainerdBin
	if binary == "" {
		binary = filepath.Join(s.bin, s.config.containerd())
	}
	argv := []string{binary, "--config", s.root.containerdConfig()}
	return s.start(ctx, Containerd, argv, listens(s.root.containerdSocket()))
}

// listens succeeds once somebody listens on a socket.
func listens(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// StartDockerd starts dockerd, which must not be running, in the flavor that it
// had last, and waits until it answers.
func (s *Stack) StartDockerd(ctx context.Context) error {
	s.mu.Lock()
	flavor := s.flavor
	s.mu.Unlock()
	return s.StartDockerdAs(ctx, flavor)
}

// StartDockerdAs is StartDockerd with another flavor, on the same data.
func (s *Stack) StartDockerdAs(ctx context.Context, flavor Flavor) error {
	binary := filepath.Join(s.bin, flavor.binary())
	if err := needExecutable(binary); err != nil {
		return err
	}
	s.mu.Lock()
	s.flavor = flavor
	containerd := s.front
	s.mu.Unlock()
	if containerd == "" {
		containerd = s.root.containerdSocket()
	}
	argv := append([]string{
		binary,
		"--config-file", s.root.daemonConfig(),
		"--data-root", s.root.dataRoot(),
		"--exec-root", "/run/docker",
		"--pidfile", s.root.dockerPidfile(),
		"--host", s.Host(),
		"--containerd", containerd,
	}, s.config.DockerdArgs...)
	return s.start(ctx, Dockerd, argv, s.ping)
}

// ping succeeds once dockerd serves its API.
func (s *Stack) ping(ctx context.Context) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", s.root.dockerSocket())
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stack/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ping: %s", resp.Status)
	}
	return nil
}

// start spawns a daemon, with further variables if any, and waits until answers
// succeeds, or the daemon has ended.
func (s *Stack) start(ctx context.Context, d Daemon, argv []string, answers func(context.Context) error, env ...string) error {
	s.mu.Lock()
	argv = slices.Concat(s.within, argv)
	s.mu.Unlock()
	_, err := s.call(ctx, request{Op: opSpawn, Name: d, Argv: argv, Env: append(s.env(), env...), Log: s.root.log(d)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		answer := answers(ctx)
		if answer == nil {
			return nil
		}
		status, err := s.call(ctx, request{Op: opStatus, Name: d})
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && !status.Running {
			return fmt.Errorf("start %s: it ended (%s); its log ends with:\n%s", d, status.Ended, s.LogTail(d, 20))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w (%w); its log ends with:\n%s", d, ctx.Err(), answer, s.LogTail(d, 20))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// StopDockerd asks dockerd to end and waits until it has. It is an error if it
// does not end in time or with an exit status.
func (s *Stack) StopDockerd(ctx context.Context) error { return s.stop(ctx, Dockerd) }

// StopContainerd does the same for containerd. Containers go on.
func (s *Stack) StopContainerd(ctx context.Context) error { return s.stop(ctx, Containerd) }

// KillDockerd kills dockerd and waits until it is gone. Containers go on.
func (s *Stack) KillDockerd(ctx context.Context) error {
	_, err := s.end(ctx, Dockerd, unix.SIGKILL)
	return err
}

// KillContainerd kills containerd and waits until it is gone. Containers go on.
func (s *Stack) KillContainerd(ctx context.Context) error {
	_, err := s.end(ctx, Containerd, unix.SIGKILL)
	return err
}

func (s *Stack) stop(ctx context.Context, d Daemon) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	ended, err := s.end(ctx, d, unix.SIGTERM)
	if err == nil && ended != "exit status 0" {
		err = fmt.Errorf("stop %s: %s", d, ended)
	}
	return err
}

// end signals a daemon and waits until it has ended; it returns how.
func (s *Stack) end(ctx context.Context, d Daemon, signal syscall.Signal) (string, error) {
	if _, err := s.call(ctx, request{Op: opSignal, Name: d, Signal: signal}); err != nil {
		return "", err
	}
	resp, err := s.call(ctx, request{Op: opWait, Name: d})
	return resp.Ended, err
}

// stopIfRunning is for the end of the stack, when a daemon may have been stopped
// or killed, or the whole stack be gone.
func (s *Stack) stopIfRunning(ctx context.Context, d Daemon) error {
	status, err := s.call(ctx, request{Op: opStatus, Name: d})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err != nil || !status.Running {
		return err
	}
	return s.stop(ctx, d)
}

// Pid returns the process ID of a running daemon as the caller's /proc has it,
// or 0 if it is not running.
func (s *Stack) Pid(d Daemon) int {
	status, err := s.call(context.Background(), request{Op: opStatus, Name: d})
	if err != nil || !status.Running {
		return 0
	}
	pid, err := outerPID(s.initPID, status.PID)
	if err != nil {
		return 0
	}
	return pid
}

// LogTail returns the last n lines of a daemon's log, or of what there is.
func (s *Stack) LogTail(d Daemon, n int) string { return tail(s.root.log(d), n) }

// tail reads no more than the last megabyte.
func tail(path string, n int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > 1<<20 {
		_, _ = file.Seek(-1<<20, io.SeekEnd)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// configure writes the daemons' and the client's configuration.
func (s *Stack) configure() error {
	if err := s.configureContainerd(); err != nil {
		return fmt.Errorf("configure containerd: %w", err)
	}
	data, err := json.MarshalIndent(s.config.daemonJSON(), "", "\t")
	if err == nil {
		err = os.WriteFile(s.root.daemonConfig(), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("configure dockerd: %w", err)
	}
	if err := s.configureClient(); err != nil {
		return fmt.Errorf("configure docker CLI: %w", err)
	}
	return nil
}

// daemonJSON has the image store, and what the caller wants on top of it. Paths
// are given by flags.
func (c Config) daemonJSON() map[string]any {
	config := map[string]any{"features": map[string]any{"containerd-snapshotter": c.StorageDriver != "overlay2"}}
	if c.StorageDriver != "" {
		config["storage-driver"] = c.StorageDriver
	}
	return merge(config, c.DaemonConfig)
}

// merge returns base with over laid over it, map into map.
func merge(base, over map[string]any) map[string]any {
	merged := maps.Clone(base)
	for key, value := range over {
		below, isMap := merged[key].(map[string]any)
		if above, ok := value.(map[string]any); ok && isMap {
			value = merge(below, above)
		}
		merged[key] = value
	}
	return merged
}

func (s *Stack) configureContainerd() error {
	var config bytes.Buffer
	fmt.Fprintf(&config, "version = 3\nroot = %q\nstate = \"/run/containerd\"\n", s.root.containerdRoot())
	imports, err := s.containerdImports()
	if err != nil {
		return err
	}
	if len(imports) > 0 {
		fmt.Fprintf(&config, "imports = [%s]\n", strings.Join(imports, ", "))
	}
	fmt.Fprintf(&config, `disabled_plugins = [
	"io.containerd.cri.v1.images",
	"io.containerd.cri.v1.runtime",
	"io.containerd.grpc.v1.cri",
	"io.containerd.grpc.v1.sandbox-controllers",
	"io.containerd.podsandbox.controller.v1.podsandbox",
]

[grpc]
	address = %q

[debug]
	level = "info"

[plugins."io.containerd.nri.v1.nri"]
	disable = true

# By default containerd makes /opt/containerd.
[plugins."io.containerd.internal.v1.opt"]
	path = %q
`, s.root.containerdSocket(), filepath.Join(s.root.containerdRoot(), "opt"))
	return os.WriteFile(s.root.containerdConfig(), config.Bytes(), 0o644)
}

// containerdImports writes what the stack's configuration imports, and returns
// the files in quotes.
func (s *Stack) containerdImports() (imports []string, err error) {
	if s.config.Proxy {
		text, err := s.proxyConfig()
		if err == nil {
			err = os.WriteFile(s.root.containerdProxies(), text, 0o644)
		}
		if err != nil {
			return nil, err
		}
		imports = append(imports, strconv.Quote(s.root.containerdProxies()))
	}
	if s.config.ContainerdConfig != "" {
		text := "version = 3\n" + s.config.ContainerdConfig
		if err := os.WriteFile(s.root.containerdImported(), []byte(text), 0o644); err != nil {
			return nil, err
		}
		imports = append(imports, strconv.Quote(s.root.containerdImported()))
	}
	return imports, nil
}

// cliPlugins are offered to the docker CLI when bin has them.
var cliPlugins = []string{"docker-baleen", "docker-buildx", "docker-compose"}

func (s *Stack) configureClient() error {
	plugins := filepath.Join(s.root.clientConfig(), "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return err
	}
	for _, name := range cliPlugins {
		if needExecutable(filepath.Join(s.bin, name)) != nil {
			continue
		}
		err := os.Symlink(filepath.Join(s.bin, name), filepath.Join(plugins, name))
		if err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}
