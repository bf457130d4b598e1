package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/stack"
)

// docker is a contestant: a stack with one flavor of dockerd. Preparations go
// through the docker command, what is timed through the API.
type docker struct {
	contestantName string
	arena          *arena
	stack          *stack.Stack
	api            *engine
}

func startStock(ctx context.Context, a *arena) (contestant, error) {
	return asContestant(startDocker(ctx, a, results.Stock, stack.Config{Flavor: stack.Stock}))
}

func startDiffer(ctx context.Context, a *arena) (contestant, error) {
	return asContestant(startDocker(ctx, a, results.Differ, stack.Config{Flavor: stack.Stock, Proxy: true, DifferForAll: true}))
}

func startDriver(ctx context.Context, a *arena) (contestant, error) {
	return asContestant(startDocker(ctx, a, results.Driver, stack.Config{Flavor: stack.Stock, Proxy: true, DifferForAll: true, StorageDriver: "baleen"}))
}

func startOverlay2(ctx context.Context, a *arena) (contestant, error) {
	return asContestant(startDocker(ctx, a, results.Overlay2, stack.Config{Flavor: stack.Stock, StorageDriver: "overlay2"}))
}

// asContestant is nil where d is.
func asContestant(d *docker, err error) (contestant, error) {
	if d == nil {
		return nil, err
	}
	return d, err
}

func startDocker(ctx context.Context, a *arena, name string, config stack.Config) (*docker, error) {
	config.Root = a.root(name)
	s, err := stack.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	return &docker{contestantName: name, arena: a, stack: s, api: newEngine(s.Host())}, nil
}

func (d *docker) name() string { return d.contestantName }

func (d *docker) stop(ctx context.Context) error {
	d.api.close()
	return endStack(ctx, d.stack)
}

// command runs the docker command. An error has what it printed.
func (d *docker) command(ctx context.Context, args ...string) (string, error) {
	return output("docker "+args[0], d.stack.Docker(ctx, args...))
}

// output runs a program that is called what in an error.
func output(what string, cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", what, err, text)
	}
	return text, nil
}

func (d *docker) load(ctx context.Context, archive string) error {
	_, err := d.command(ctx, "load", "--quiet", "--input", archive)
	return err
}

func (d *docker) run(ctx context.Context, image, container string, args ...string) error {
	run := []string{"run", "--detach", "--name", container, "--network", "none", "--volume", d.arena.control() + ":" + mountedControl, image, mountedInside}
	_, err := d.command(ctx, append(run, args...)...)
	return err
}

func (d *docker) exec(ctx context.Context, container string, args ...string) error {
	_, err := d.command(ctx, append([]string{"exec", container, mountedInside}, args...)...)
	return err
}

func (d *docker) kill(ctx context.Context, containers []string) error {
	_, err := d.command(ctx, append([]string{"kill"}, containers...)...)
	return err
}

func (d *docker) remove(ctx context.Context, containers, images []string) error {
	var errs []error
	for _, name := range containers {
		errs = append(errs, d.api.remove(ctx, "/containers/"+name+"?force=1&v=1"))
	}
	for _, name := range images {
		errs = append(errs, d.api.remove(ctx, "/images/"+name+"?force=1"))
	}
	return errors.Join(errs...)
}

func (d *docker) commit(ctx context.Context, container, image string) (time.Duration, error) {
	return d.api.timed(ctx, "POST", "/commit?container="+container+"&repo="+image+"&tag=latest&pause=1", nil)
}

func (d *docker) diff(ctx context.Context, container string) (time.Duration, error) {
	return d.api.timed(ctx, "GET", "/containers/"+container+"/changes", nil)
}

func (d *docker) sizes(ctx context.Context) (time.Duration, error) {
	return d.api.timed(ctx, "GET", "/containers/json?size=1", nil)
}

func (d *docker) build(ctx context.Context, dockerfile, image string) (time.Duration, error) {
	body, err := buildContext(dockerfile)
	if err != nil {
		return 0, err
	}
	return d.api.timed(ctx, "POST", "/build?version=1&nocache=1&rm=1&forcerm=1&t="+image, body)
}

// gauge measures the daemons.
func (d *docker) gauge() (func() (map[string]procfs.Usage, error), error) {
	gauges := map[string]*procfs.Gauge{}
	daemons := []stack.Daemon{stack.Dockerd, stack.Containerd}
	if d.contestantName == results.Differ || d.contestantName == results.Driver {
		daemons = append(daemons, stack.Proxy)
	}
	for _, daemon := range daemons {
		pid := d.stack.Pid(daemon)
		if pid == 0 {
			return nil, errdefs.ErrUnavailable.WithMessage(string(daemon) + " is not running")
		}
		g, err := procfs.Start(pid)
		if err != nil {
			return nil, err
		}
		gauges[string(daemon)] = g
	}
	return func() (map[string]procfs.Usage, error) {
		used := map[string]procfs.Usage{}
		for name, g := range gauges {
			usage, err := g.Stop()
			if err != nil {
				return nil, err
			}
			used[name] = usage
		}
		return used, nil
	}, nil
}

// blobs looks into containerd. Graph drivers keep layers unpacked only.
func (d *docker) blobs(ctx context.Context, base string, names []string) (int64, error) {
	if d.contestantName == results.Overlay2 {
		return 0, nil
	}
	ctx = namespaces.WithNamespace(ctx, d.stack.ContainerdNamespace())
	client, err := containerd.New(d.stack.ContainerdAddress())
	if err != nil {
		return 0, fmt.Errorf("read blob sizes: %w", err)
	}
	defer client.Close()
	seen := map[string]bool{}
	var sum int64
	for i, name := range append([]string{base}, names...) {
		image, err := client.ImageService().Get(ctx, "docker.io/library/"+name+":latest")
		if err != nil {
			return 0, fmt.Errorf("read blob sizes: %w", err)
		}
		manifest, err := images.Manifest(ctx, client.ContentStore(), image.Target, platforms.Default())
		if err != nil {
			return 0, fmt.Errorf("read blob sizes of %s: %w", name, err)
		}
		for _, layer := range manifest.Layers {
			if id := layer.Digest.String(); !seen[id] {
				seen[id] = true
				if i > 0 {
					sum += layer.Size
				}
			}
		}
	}
	return sum, nil
}

// upper finds the container's mount among dockerd's.
func (d *docker) upper(container string) (string, error) {
	if d.contestantName != results.Fork {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, err := d.command(ctx, "inspect", "--format", "{{.Id}}", container)
	if err != nil {
		return "", err
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", d.stack.Pid(stack.Dockerd)))
	if err != nil {
		return "", fmt.Errorf("find upper of %s: %w", container, err)
	}
	defer file.Close()
	mounts, err := mountinfo.GetMountsFromReader(file, nil)
	if err != nil {
		return "", fmt.Errorf("find upper of %s: %w", container, err)
	}
	for _, m := range mounts {
		if m.FSType != "overlay" || !strings.Contains(m.Mountpoint, id) {
			continue
		}
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
				return dir, nil
			}
		}
	}
	return "", errdefs.ErrNotFound.WithMessage("no overlay mount of container " + container)
}
