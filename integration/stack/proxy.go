package stack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Proxy is Baleen's snapshotter and differ as a daemon of their own, in stacks
// with Config.Proxy.
const Proxy Daemon = "baleen-containerd"

// StartProxy starts baleen-containerd, which must not be running, and waits until
// it answers. Start has done so already; this is for after a stop or a kill.
func (s *Stack) StartProxy(ctx context.Context) error {
	argv := append(s.proxyCommand(), "--log-level", "debug")
	return s.start(ctx, Proxy, argv, listens(s.root.proxySocket()))
}

// StopProxy asks baleen-containerd to end and waits until it has.
func (s *Stack) StopProxy(ctx context.Context) error { return s.stop(ctx, Proxy) }

// KillProxy kills baleen-containerd and waits until it is gone. Containers go on.
func (s *Stack) KillProxy(ctx context.Context) error {
	_, err := s.end(ctx, Proxy, unix.SIGKILL)
	return err
}

// ProxyAddress returns the path of baleen-containerd's socket.
func (s *Stack) ProxyAddress() string { return s.root.proxySocket() }

// ProxyRoot returns the folder of baleen-containerd's snapshots.
func (s *Stack) ProxyRoot() string { return s.root.proxyRoot() }

func (s *Stack) proxyCommand() []string {
	return []string{
		filepath.Join(s.bin, string(Proxy)),
		"--root", s.root.proxyRoot(),
		"--address", s.root.proxySocket(),
		"--containerd-address", s.root.containerdSocket(),
	}
}

// proxyConfig is what baleen-containerd says that containerd's configuration
// needs.
func (s *Stack) proxyConfig() ([]byte, error) {
	argv := append(s.proxyCommand(), "--print-config")
	if s.config.DifferForAll {
		argv = append(argv, "--differ-for-all")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("print containerd's configuration for %s: %w: %s", Proxy, err, strings.TrimSpace(said.String()))
	}
	if s.config.ProxyAlias != "" {
		text = fmt.Appendf(text, "\n[proxy_plugins.%s]\n  type = \"snapshot\"\n  address = %q\n", s.config.ProxyAlias, s.root.proxySocket())
	}
	return text, nil
}
