package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/integration/stack"
)

// plant makes rigs of one version of containerd.
type plant struct {
	version      version
	bin, common  string // programs of the version's line, and of the stack
	binary, tree string // the tests, and containerd's sources
	registry     store
	images       []digest.Digest // in the registry
	identity     identity
}

// rig is a stack that the tests can run on. Its dockerd is stopped.
type rig struct {
	plant
	setup setup
	stack *stack.Stack
}

// Files below /etc, inside the stack.
const (
	certificateFile = "baleen/registry.pem"
	keyFile         = "baleen/registry.key"
)

// hosts whose images the tests pull, for which one registry stands in.
var hosts = []string{"ghcr.io", "registry.k8s.io"}

// program is a program that daemons and tests find by its name.
func (p plant) program(name string) (string, error) {
	for _, dir := range []string{p.bin, p.common} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return path, err
		}
	}
	return "", fmt.Errorf("%s is missing: run `make build` first", name)
}

// start starts a set-up and the registry.
func (p plant) start(ctx context.Context, name string) (*rig, error) {
	of, err := findSetup(name)
	if err != nil {
		return nil, err
	}
	c := of.config(p.bin, p.version)
	c.Etc = map[string]string{
		"hosts":         "127.0.0.1 localhost " + strings.Join(hosts, " ") + "\n",
		certificateFile: string(p.identity.certificate),
		keyFile:         string(p.identity.key),
	}
	c.Env = []string{"SSL_CERT_FILE=/etc/" + certificateFile}
	s, err := stack.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &rig{plant: p, setup: of, stack: s}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s for tests: %w", name, err), s.Kill())
	}
	return r, nil
}

func (r *rig) prepare(ctx context.Context) error {
	if err := r.stack.StopDockerd(ctx); err != nil {
		return err
	}
	if err := os.Mkdir(r.path(), 0o755); err != nil {
		return err
	}
	// Some tests start a containerd of their own, by this name.
	if err := os.Symlink(r.version.program(r.bin, r.setup), r.path("containerd")); err != nil {
		return err
	}
	return r.stack.StartRegistryTLS(ctx, string(r.registry), "/etc/"+certificateFile, "/etc/"+keyFile)
}

// path is the folder of programs that the tests start, or below it.
func (r *rig) path(elem ...string) string {
	return filepath.Join(append([]string{r.stack.Root(), "t"}, elem...)...)
}

// Command prepares the test binary.
func (r *rig) Command(ctx context.Context, flags ...string) *exec.Cmd {
	flags = append([]string{"-test.root", "-no-daemon", "-no-criu", "-address=" + r.stack.ContainerdAddress()}, flags...)
	cmd := r.stack.Command(ctx, r.binary, flags...)
	cmd.Dir = filepath.Join(r.tree, testsPackage)
	cmd.Env = append(cmd.Env,
		"PATH="+strings.Join([]string{r.path(), r.bin, r.common, os.Getenv("PATH"), "/usr/sbin", "/sbin"}, ":"),
		"TEST_SNAPSHOTTER="+r.setup.snapshotter,
	)
	return cmd
}

// daemons of the rig, which must outlive the tests.
func (r *rig) daemons() []stack.Daemon {
	if r.setup.proxy {
		return []stack.Daemon{stack.Containerd, stack.Proxy}
	}
	return []stack.Daemon{stack.Containerd}
}

// Died tells whether the daemons have outlived the tests.
func (r *rig) Died() string {
	var dead []string
	for _, d := range append(r.daemons(), stack.Registry) {
		if r.stack.Pid(d) == 0 {
			dead = append(dead, fmt.Sprintf("%s has died; its log ends with:\n%s", d, r.stack.LogTail(d, 20)))
		}
	}
	return strings.Join(dead, "\n")
}

// Close saves the daemons' logs and takes the stack down.
func (r *rig) Close(prefix string) error {
	var errs []error
	for _, d := range r.daemons() {
		log := r.stack.LogTail(d, 100_000) + "\n"
		errs = append(errs, os.WriteFile(fmt.Sprintf("%s-%s.log", prefix, d), []byte(log), 0o644))
	}
	return errors.Join(append(errs, r.stack.Kill())...)
}
