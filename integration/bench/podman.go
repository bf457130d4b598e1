package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/stack"
)

// errNotInstalled is for a contestant that this machine does not have.
var errNotInstalled = errors.New("not installed (use -install, or apt-get install podman)")

// podman is a contestant: the machine's podman in the namespaces of a stack, with
// storage of its own in the stack's root.
type podman struct {
	arena *arena
	stack *stack.Stack

	mu   sync.Mutex
	used procfs.Usage // since the last gauge
}

func startPodman(ctx context.Context, a *arena) (contestant, error) {
	if !found("podman") {
		return nil, errNotInstalled
	}
	s, err := stack.Start(ctx, stack.Config{Flavor: stack.Stock, Root: a.root(results.Podman)})
	if err != nil {
		return nil, err
	}
	return &podman{arena: a, stack: s}, nil
}

func (p *podman) name() string { return results.Podman }

func (p *podman) stop(ctx context.Context) error { return endStack(ctx, p.stack) }

// args are for a call of podman.
func (p *podman) args(args ...string) ([]string, error) {
	bin, err := stack.BinDir()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(p.stack.Root(), "podman")
	return append([]string{
		"podman", "--root", filepath.Join(root, "storage"), "--runroot", filepath.Join(root, "run"),
		"--tmpdir", filepath.Join(root, "tmp"), "--storage-driver", "overlay", "--runtime", filepath.Join(bin, "runc"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--log-level", "error",
	}, args...), nil
}

func (p *podman) command(ctx context.Context, args ...string) error {
	argv, err := p.args(args...)
	if err != nil {
		return err
	}
	_, err = output("podman "+args[0], p.enter(ctx, argv...))
	return err
}

// enter prepares a program in the stack.
func (p *podman) enter(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := p.stack.Command(ctx, argv[0], argv[1:]...)
	// podman would insist on the registry credentials that may be there.
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "DOCKER_CONFIG=") })
	return cmd
}

// timed runs podman by `inside time`, so that entering the stack is not counted.
func (p *podman) timed(ctx context.Context, args ...string) (time.Duration, error) {
	argv, err := p.args(args...)
	if err != nil {
		return 0, err
	}
	cmd := p.enter(ctx, slices.Concat([]string{filepath.Join(p.arena.control(), "inside"), "time"}, argv)...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("podman %s: %w: %s", args[0], err, strings.TrimSpace(complaints.String()))
	}
	var cost struct {
		Wall  time.Duration
		Usage procfs.Usage
	}
	if err := json.Unmarshal(out, &cost); err != nil {
		return 0, fmt.Errorf("podman %s: read its cost: %w", args[0], err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = p.used.Add(cost.Usage)
	return cost.Wall, nil
}

func (p *podman) load(ctx context.Context, archive string) error {
	return p.command(ctx, "load", "--quiet", "--input", archive)
}

func (p *podman) run(ctx context.Context, image, container string, args ...string) error {
	return p.command(ctx, slices.Concat([]string{"run", "--detach"}, p.container(image, container, args))...)
}

// container are the arguments of podman create and run.
func (p *podman) container(image, name string, args []string) []string {
	return append([]string{
		"--name", name, "--pull", "never", "--network", "none", "--log-driver", "none",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096",
		"--volume", p.arena.control() + ":" + mountedControl, image, mountedInside,
	}, args...)
}

func (p *podman) exec(ctx context.Context, container string, args ...string) error {
	return p.command(ctx, append([]string{"exec", container, mountedInside}, args...)...)
}

func (p *podman) kill(ctx context.Context, containers []string) error {
	if err := p.command(ctx, append([]string{"kill"}, containers...)...); err != nil {
		return err
	}
	// kill does not wait.
	return p.command(ctx, append([]string{"wait"}, containers...)...)
}

func (p *podman) remove(ctx context.Context, containers, images []string) error {
	var errs []error
	if len(containers) > 0 {
		errs = append(errs, p.command(ctx, slices.Concat([]string{"rm", "--force", "--ignore", "--time", "0"}, containers)...))
	}
	if len(images) > 0 {
		errs = append(errs, p.command(ctx, slices.Concat([]string{"rmi", "--force"}, images)...))
	}
	return errors.Join(errs...)
}

func (p *podman) commit(ctx context.Context, container, image string) (time.Duration, error) {
	return p.timed(ctx, "commit", "--quiet", "--pause", container, image)
}

func (p *podman) diff(ctx context.Context, container string) (time.Duration, error) {
	return p.timed(ctx, "diff", container)
}

func (p *podman) sizes(ctx context.Context) (time.Duration, error) {
	return p.timed(ctx, "ps", "--size")
}

// build is left out: podman's builder is buildah, which makes one layer where the
// classic builder makes one for each step.
func (p *podman) build(context.Context, string, string) (time.Duration, error) {
	return 0, errUnsupported
}

func (p *podman) gauge() (func() (map[string]procfs.Usage, error), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = procfs.Usage{}
	return func() (map[string]procfs.Usage, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return map[string]procfs.Usage{"podman": p.used}, nil
	}, nil
}

// blobs is nothing: podman keeps layers unpacked only.
func (p *podman) blobs(context.Context, string, []string) (int64, error) { return 0, nil }

func (p *podman) upper(string) (string, error) { return "", nil }
