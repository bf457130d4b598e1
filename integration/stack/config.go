package stack

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Flavor says which dockerd a stack runs.
type Flavor int

const (
	// Fork is bin/dockerd: Moby with Baleen as its image service.
	Fork Flavor = iota
	// Stock is bin/dockerd-stock: Moby as it is.
	Stock
)

// String returns "fork" or "stock".
func (f Flavor) String() string {
	if f == Stock {
		return "stock"
	}
	return "fork"
}

func (f Flavor) binary() string {
	if f == Stock {
		return "dockerd-stock"
	}
	return "dockerd"
}

// Config describes a stack. The zero value is a fork of dockerd on containerd's
// overlayfs snapshotter, in a new root that is removed in the end.
type Config struct {
	Flavor Flavor

	// StorageDriver is empty for dockerd on containerd's default snapshotter,
	// "overlay2" for Moby's graph driver of that name without containerd's
	// image store, or else the name of the containerd snapshotter to use.
	StorageDriver string

	// ContainerdBin is the containerd to run instead of bin/containerd. A
	// containerd-shim-runc-v2 beside it is preferred to the one in bin.
	ContainerdBin string
	// Proxy runs baleen-containerd beside containerd, and gives that the
	// configuration that it prints: the snapshotter baleen and the differ
	// baleen-diff. The containerd is bin/containerd-stock then, if ContainerdBin
	// is empty: bin/containerd has the snapshotter already.
	Proxy bool
	// DifferForAll has containerd use the differ of Proxy for all snapshotters, and
	// for comparisons at all.
	DifferForAll bool
	// ProxyAlias is a second name for the snapshotter of Proxy, if not empty, as
	// somebody might configure it by mistake.
	ProxyAlias string
	// ContainerdConfig is TOML (version 3) that containerd imports after the
	// stack's own configuration.
	ContainerdConfig string

	// DockerdArgs are further flags for dockerd.
	DockerdArgs []string
	// DaemonConfig is merged into dockerd's daemon.json, map into map.
	DaemonConfig map[string]any
	// Env has further variables, as NAME=value, for both daemons and for
	// programs run with Stack.Command.
	Env []string

	// Etc has files of the stack's own in /etc, by name: "subuid" and the like.
	// The machine's /etc stays as it is.
	Etc map[string]string

	// Without names programs that the daemons do not find, though the machine has
	// them.
	Without []string

	// Root is the stack's folder: new, empty, or a kept one of an earlier
	// stack. If empty a new one is made below BALEEN_STACK_DIR, or below
	// /var/tmp if that is not set.
	Root string
	// From is an archive that [Pack] wrote of another stack's data. It is
	// unpacked into the root, which must not hold data yet.
	From string
	// KeepRoot leaves the root, without sockets and the like, where it is
	// after Stop.
	KeepRoot bool
	// Detach lets the stack outlive the starting process, once Start has
	// returned. Until then it does not.
	Detach bool
}

const (
	stackDirEnv     = "BALEEN_STACK_DIR"
	defaultStackDir = "/var/tmp"
	rootPrefix      = "baleen-"
)

func stackDir() string {
	if dir := os.Getenv(stackDirEnv); dir != "" {
		return dir
	}
	return defaultStackDir
}

// chooseRoot returns the absolute path of the root that c asks for. It makes
// nothing: the keeper does, so that no instant exists at which a root has no
// keeper.
func (c Config) chooseRoot() (string, error) {
	if c.Root == "" {
		return filepath.Join(stackDir(), rootPrefix+strings.ToLower(rand.Text()[:6])), nil
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return "", fmt.Errorf("find stack root %s: %w", c.Root, err)
	}
	return root, nil
}

// layout gives the paths below a root. Sockets are in run, which never survives
// a stack, even if its root is kept.
type layout string

func (l layout) path(elem ...string) string {
	return filepath.Join(append([]string{string(l)}, elem...)...)
}

func (l layout) record() string             { return l.path("stack.json") }
func (l layout) keeperLog() string          { return l.path("keeper.log") }
func (l layout) volatile() string           { return l.path("run") }
func (l layout) controlSocket() string      { return l.path("run", "init.sock") }
func (l layout) dockerSocket() string       { return l.path("run", "docker.sock") }
func (l layout) dockerPidfile() string      { return l.path("run", "docker.pid") }
func (l layout) containerdSocket() string   { return l.path("run", "containerd.sock") }
func (l layout) tmp() string                { return l.path("tmp") }
func (l layout) dataRoot() string           { return l.path("data") }
func (l layout) containerdRoot() string     { return l.path("containerd") }
func (l layout) clientConfig() string       { return l.path("client") }
func (l layout) daemonConfig() string       { return l.path("daemon.json") }
func (l layout) containerdConfig() string   { return l.path("containerd.toml") }
func (l layout) containerdImported() string { return l.path("containerd-extra.toml") }
func (l layout) containerdProxies() string  { return l.path("containerd-baleen.toml") }
func (l layout) proxySocket() string        { return l.path("run", "baleen.sock") }
func (l layout) proxyRoot() string          { return l.path("baleen") }
func (l layout) registryConfig() string     { return l.path("registry.yml") }
func (l layout) registryStore() string      { return l.path("registry") }
func (l layout) log(d Daemon) string        { return l.path(string(d) + ".log") }

// cgroup is the name of the stack's cgroup. It follows from the root alone, so
// that a sweep or a check needs nothing else to find it.
func (l layout) cgroup() string {
	sum := sha256.Sum256([]byte(l))
	return rootPrefix + hex.EncodeToString(sum[:6])
}

// The folders of system programs, which the PATH of a user who used sudo or su
// may lack.
var systemPath = []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"}

// searchPath is the daemons' PATH: what the stack was built with comes first.
func (c Config) searchPath(bin string) []string {
	var dirs []string
	if c.ContainerdBin != "" {
		dirs = append(dirs, filepath.Dir(c.ContainerdBin))
	}
	dirs = append(dirs, bin)
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), systemPath...) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// environment is the caller's without what would lead a daemon or a client out
// of the stack, such as DOCKER_HOST or systemd's NOTIFY_SOCKET.
func (c Config) environment(l layout, bin string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		for _, prefix := range []string{"DOCKER_", "CONTAINERD_", "NOTIFY_", "LISTEN_", "TMPDIR=", "PATH=", roleEnv + "="} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
	env = append(env,
		"PATH="+strings.Join(c.searchPath(bin), ":"),
		"TMPDIR="+l.tmp(),
		"DOCKER_HOST=unix://"+l.dockerSocket(),
		"DOCKER_CONFIG="+l.clientConfig(),
		"CONTAINERD_ADDRESS="+l.containerdSocket(),
		"CONTAINERD_NAMESPACE="+containerdNamespace,
	)
	return append(env, c.Env...)
}
