package fidelity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/integration/stack"
)

// freshNamespace has no snapshots but those that the checks unpack.
const freshNamespace = "fidelity"

// Lab is a running engine with the base image, in which cases are tried. Its
// methods may be called from several goroutines.
type Lab struct {
	*stack.Stack
	mode     Mode
	client   *containerd.Client
	scratch  string // for plain unpacks and tars
	baseSize int    // layers of the base image
	// inflated are files with the tar streams of the base image's layers.
	inflated map[digest.Digest]string
}

// Open starts an engine of a flavor in a mode. The caller must Close it.
func Open(ctx context.Context, flavor stack.Flavor, mode Mode) (_ *Lab, err error) {
	s, err := stack.Start(ctx, stack.Config{
		Flavor: flavor, Proxy: mode.Proxy, DifferForAll: mode.Proxy, StorageDriver: mode.Snapshotter,
		ContainerdConfig: mode.containerdConfig(), DaemonConfig: mode.DaemonConfig, Etc: mode.etc(),
	})
	if err != nil {
		return nil, err
	}
	l := &Lab{Stack: s, mode: mode, inflated: map[digest.Digest]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(context.WithoutCancel(ctx)))
		}
	}()
	if l.scratch, err = os.MkdirTemp("", "baleen-fidelity-"); err != nil {
		return nil, err
	}
	if l.client, err = containerd.New(s.ContainerdAddress()); err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	if err := l.makeBase(ctx); err != nil {
		return nil, fmt.Errorf("make base image: %w", err)
	}
	return l, nil
}

func (m Mode) snapshotter() string {
	if m.Snapshotter == "" {
		return "overlayfs"
	}
	return m.Snapshotter
}

func (m Mode) containerdConfig() (text string) {
	if len(m.MountOptions) > 0 {
		text = fmt.Sprintf("[plugins.'io.containerd.snapshotter.v1.overlayfs']\nmount_options = ['%s']\n", strings.Join(m.MountOptions, "', '"))
	}
	if m.LinkedDiffer {
		text += "[plugins.'io.containerd.service.v1.diff-service']\ndefault = ['baleen', 'walking']\n"
	}
	return text
}

// etc has the mapping of the user "daemon".
func (m Mode) etc() map[string]string {
	if m.IDs.Empty() {
		return nil
	}
	file := func(r idmap.Range) string { return fmt.Sprintf("daemon:%d:%d\n", r.Host, r.Size) }
	return map[string]string{"subuid": file(m.IDs.UIDs[0]), "subgid": file(m.IDs.GIDs[0])}
}

// Close ends the engine and checks that nothing of it is left.
func (l *Lab) Close(ctx context.Context) error {
	var errs []error
	if l.client != nil {
		errs = append(errs, l.client.Close())
	}
	errs = append(errs, l.Stop(ctx), stack.Leftovers(l.Root()))
	if l.scratch != "" {
		errs = append(errs, os.RemoveAll(l.scratch))
	}
	return errors.Join(errs...)
}

// Call runs the docker command with a text on its standard input, and returns
// what it prints, without the line's end.
func (l *Lab) Call(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := l.Docker(ctx, args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	out, err := cmd.Output()
	if err != nil {
		text := string(out)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			text += string(exit.Stderr)
		}
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(text))
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// moby is ctx in dockerd's namespace of containerd.
func (l *Lab) moby(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, l.ContainerdNamespace())
}

// rootfs is where dockerd has mounted a running container's root file system,
// reached through the daemon's mount namespace.
func (l *Lab) rootfs(id string) string {
	data := l.DataRoot()
	if ids := l.mode.IDs; !ids.Empty() {
		data = filepath.Join(data, fmt.Sprintf("%d.%d", ids.UIDs[0].Host, ids.GIDs[0].Host))
	}
	return filepath.Join("/proc", fmt.Sprint(l.Pid(stack.Dockerd)), "root", data, "rootfs", l.mode.snapshotter(), id)
}

// upperOf is the folder of a container's changes.
func (l *Lab) upperOf(ctx context.Context, id string) (string, error) {
	mounts, err := l.client.SnapshotService(l.mode.snapshotter()).Mounts(ctx, id)
	if err != nil {
		return "", fmt.Errorf("look up the snapshot of container %s: %w", id, err)
	}
	for _, m := range mounts {
		for _, option := range m.Options {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
				return dir, nil
			}
		}
	}
	return "", fmt.Errorf("the snapshot of container %s has no upper: %v", id, mounts)
}

// Run starts a container of an image that does nothing, and returns its id.
func (l *Lab) Run(ctx context.Context, image string, flags ...string) (string, error) {
	args := append([]string{"run", "-d", "--network=none"}, flags...)
	return l.Call(ctx, "", append(args, image, "sleep", "1000000")...)
}

// commit looks at what `docker diff` says of a container, and commits it.
func (l *Lab) commit(ctx context.Context, id string, c Case) (image string, diff, err error) {
	if !l.mode.Sealed && !l.mode.Sparing {
		diff = l.checkDiff(ctx, id, c)
		image, err = l.Call(ctx, "", "commit", id)
		return image, diff, err
	}
	before := [][]string{{"stop", "-t", "0", id}, {"baleen", "snapshot", id}}
	if l.mode.Sparing {
		before = before[:1]
	}
	for _, args := range before {
		if _, err := l.Call(ctx, "", args...); err != nil {
			return "", nil, err
		}
	}
	diff = l.checkDiff(ctx, id, c)
	image, err = l.Call(ctx, "", "commit", id)
	_, serr := l.Call(ctx, "", "start", id)
	return image, diff, errors.Join(err, serr)
}

// Verdict is how a case went. A nil error is success.
type Verdict struct {
	Case Case
	// Image is why the committed image is not the container's file system.
	Image error
	// Diff is why `docker diff` does not say what it should.
	Diff error
}

// Try runs a case in a fresh container, commits it and checks the result. An
// error means that the case could not be tried.
func (l *Lab) Try(ctx context.Context, c Case) (_ Verdict, err error) {
	id, err := l.Run(ctx, BaseImage, "--workdir=/img")
	if err != nil {
		return Verdict{}, err
	}
	defer func() {
		_, rerr := l.Call(context.WithoutCancel(ctx), "", "rm", "-f", id)
		err = errors.Join(err, rerr)
	}()
	if l.mode.Sparing {
		c = l.withBallast(c)
	}
	v, image, err := l.try(ctx, id, c)
	if err != nil || image == "" {
		return v, err
	}
	if l.mode.Sparing {
		err = l.tryAgain(ctx, id, image, c, &v)
	}
	_, rerr := l.Call(ctx, "", "rmi", image)
	return v, errors.Join(err, rerr)
}

// try changes a container, commits it and checks the image, which is "" if the
// commit has failed.
func (l *Lab) try(ctx context.Context, id string, c Case) (_ Verdict, image string, _ error) {
	if _, err := l.Call(ctx, c.Script, "exec", "-i", id, "sh", "-e"); err != nil {
		return Verdict{}, "", fmt.Errorf("run the script: %w", err)
	}
	image, diffErr, err := l.commit(ctx, id, c)
	v := Verdict{Case: c, Diff: diffErr}
	switch {
	case err != nil && c.Reserved && strings.Contains(err.Error(), ".wh."):
		return v, "", nil // refused, and the reason told
	case err != nil:
		v.Image = err
		return v, "", nil
	}
	v.Image = l.Check(ctx, id, image, "", c)
	return v, image, nil
}
