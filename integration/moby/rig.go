package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
)

// frozenImages returns those that Moby's suites load before anything else, and pull
// from Docker Hub if they are not there: frozenImages in Moby's package
// testutil/environment.
func frozenImages(line engine.Line) []string {
	debian := map[engine.Line]string{engine.V28: "debian:bookworm-slim", engine.V29: "debian:trixie-slim"}
	return []string{
		"busybox:latest",
		"busybox:glibc",
		"hello-world:frozen",
		"hello-world:amd64",
		"hello-world:arm64",
		debian[line],
	}
}

// oldClients has dockerd serve clients of all versions, as Moby's runner does in
// hack/make/.integration-daemon-start. Daemons that tests start do not have it.
const oldClients = "DOCKER_MIN_API_VERSION=1.24"

// rig is a stack that a suite's tests can run on.
type rig struct {
	stack  *stack.Stack
	flavor stack.Flavor
	bin    string
	compiled
	dir string // where the tests run
}

// newRig starts a stack and lays out what the tests need.
func newRig(ctx context.Context, flavor stack.Flavor, bin string, made compiled, of suite) (*rig, error) {
	s, err := stack.Start(ctx, stack.Config{Flavor: flavor, DaemonConfig: of.daemon, Env: []string{oldClients}})
	if err != nil {
		return nil, err
	}
	r := &rig{stack: s, flavor: flavor, bin: bin, compiled: made, dir: filepath.Join(made.tree, of.Package)}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %v stack for tests: %w", flavor, err), s.Kill())
	}
	return r, nil
}

// path below the rig's own folder. It is short because the tests' daemons have
// sockets in it.
func (r *rig) path(elem ...string) string {
	return filepath.Join(append([]string{r.stack.Root(), "t"}, elem...)...)
}

func (r *rig) prepare(ctx context.Context) error {
	// A user namespace's root must get through to what is below.
	if err := os.Mkdir(r.path(), 0o711); err != nil {
		return err
	}
	for _, name := range []string{"bin", "home", "dest", "tmp"} {
		if err := os.Mkdir(r.path(name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(r.path("tmp"), 0o1777); err != nil {
		return err
	}
	// Tests start daemons by this name.
	if err := os.Symlink(filepath.Join(r.bin, dockerdOf(r.flavor)), r.path("bin", "dockerd")); err != nil {
		return err
	}
	if err := r.cover(ctx, "tree", r.tree); err != nil {
		return err
	}
	if err := r.cover(ctx, "etc", "/etc"); err != nil {
		return err
	}
	if out, err := r.stack.Command(ctx, "sh", "-c", "echo nameserver "+noNameServer+" >/etc/resolv.conf").CombinedOutput(); err != nil {
		return fmt.Errorf("write resolv.conf: %w: %s", err, strings.TrimSpace(string(out)))
	}
	line, err := engine.Chosen()
	if err != nil {
		return err
	}
	if err := r.stack.LoadImages(ctx, frozenImages(line)...); err != nil {
		return fmt.Errorf("load images: %w", err)
	}
	return nil
}

// noNameServer is the stack's own address on its way to nowhere, where nobody
// serves names. So a test that wants Docker Hub is refused at once, where the
// machine's name server, out of reach, would keep it waiting. A loopback address
// would not do: dockerd gives containers Google's servers instead of that.
const noNameServer = "198.18.0.2"

// cover lays an overlay over a folder, inside the stack, that takes all writes.
func (r *rig) cover(ctx context.Context, name, dir string) error {
	upper, work := r.path("cover", name, "upper"), r.path("cover", name, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work)
	out, err := r.stack.Command(ctx, "mount", "-t", "overlay", "-o", options, "overlay", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cover %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// environment that Moby's own runner gives to tests, hack/make/test-integration,
// as far as it matters here.
func (r *rig) environment() []string {
	path := strings.Join([]string{r.path("bin"), r.bin, os.Getenv("PATH"), "/usr/sbin", "/sbin"}, ":")
	return []string{
		"PATH=" + path,
		"HOME=" + r.path("home"),
		"TMPDIR=" + r.path("tmp"),
		"DEST=" + r.path("dest"),
		"DOCKER_HOST=" + r.stack.Host(),
		"DOCKER_GRAPHDRIVER=overlayfs",
		"DOCKER_INTEGRATION_DAEMON_DEST=" + r.path("dest"),
		"TEST_CLIENT_BINARY=" + r.client,
		"TEST_INTEGRATION_USE_SNAPSHOTTER=1",
	}
}

// Command prepares the test binary.
func (r *rig) Command(ctx context.Context, flags ...string) *exec.Cmd {
	cmd := r.stack.Command(ctx, r.binary, flags...)
	cmd.Dir = r.dir
	cmd.Env = withoutDocker(append(cmd.Env, r.environment()...))
	return cmd
}

// withoutDocker drops variables that a caller may have set for a Docker of his
// own, and DOCKER_CONFIG, which the tests expect below HOME.
func withoutDocker(env []string) []string {
	foreign := []string{
		"DOCKER_API_VERSION=", "DOCKER_BUILDKIT=", "DOCKER_CERT_PATH=", "DOCKER_CONFIG=", "DOCKER_CONTEXT=",
		"DOCKER_DEFAULT_PLATFORM=", "DOCKER_MIN_API_VERSION=", "DOCKER_REMAP_ROOT=", "DOCKER_ROOTLESS=", "DOCKER_TLS_VERIFY=", "BUILDX_",
	}
	return slices.DeleteFunc(env, func(v string) bool {
		return slices.ContainsFunc(foreign, func(name string) bool { return strings.HasPrefix(v, name) })
	})
}

// Died tells whether dockerd has outlived the tests.
func (r *rig) Died() string {
	if r.stack.Pid(stack.Dockerd) != 0 {
		return ""
	}
	return "dockerd has died; its log ends with:\n" + r.stack.LogTail(stack.Dockerd, 20)
}

// Close saves dockerd's log and takes the stack down. Containers that a test
// left behind are not worth waiting for.
func (r *rig) Close(prefix string) error {
	log := r.stack.LogTail(stack.Dockerd, 100_000)
	return errors.Join(os.WriteFile(prefix+"-dockerd.log", []byte(log+"\n"), 0o644), r.stack.Kill())
}
