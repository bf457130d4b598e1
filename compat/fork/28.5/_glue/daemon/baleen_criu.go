package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/distribution/reference"
	"github.com/docker/docker/container"
	"github.com/docker/docker/daemon/config"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/libcontainerd/remote"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice"
)

// CheckpointAbility tells whether processes can be kept and restored. It asks the
// criu in the daemon's PATH, where containerd's is the same.
func (daemon *Daemon) CheckpointAbility(ctx context.Context) api.CheckpointAbility {
	version, err := criuVersion(ctx)
	if err != nil {
		return api.CheckpointAbility{Reason: err.Error()}
	}
	if out, err := exec.CommandContext(ctx, "criu", "check").CombinedOutput(); err != nil {
		return api.CheckpointAbility{Version: version, Reason: fmt.Sprintf("criu check: %v: %s", err, criuErrors(string(out)))}
	}
	return api.CheckpointAbility{Processes: true, Version: version}
}

var criuVersionLine = regexp.MustCompile(`(?m)^Version: (\S+)`)

// criuVersion is that of the daemon's CRIU, "4.2.1".
func criuVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "criu", "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("there is no program criu in the daemon's PATH, which keeps processes")
	}
	if err != nil {
		return "", fmt.Errorf("criu --version: %w", err)
	}
	found := criuVersionLine.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("criu --version prints %.100q", out)
	}
	return string(found[1]), nil
}

// keepProcesses makes a checkpoint with the processes of a container. They stand
// still until it is read; if they are not to go on, until the checkpoint is whole,
// and then they end: a checkpoint that fails leaves them running.
func (daemon *Daemon) keepProcesses(ctx context.Context, service *imageservice.Service, c *container.Container, ref reference.Named, options imageservice.CheckpointOptions, goOn bool) (api.Checkpoint, error) {
	version, err := criuVersion(ctx)
	if err == nil {
		err = keepable(c, goOn)
	}
	if err != nil {
		return api.Checkpoint{}, errdefs.NotImplemented(fmt.Errorf("cannot keep the processes of container %s: %w (--no-process keeps the files alone)", bare(c), err))
	}
	if commands := executed(c); len(commands) > 0 {
		options.Warnings = append(options.Warnings, "commands of docker exec are not in the checkpoint: "+strings.Join(commands, ", "))
	}
	options.CRIU = version
	options.Dump = func(ctx context.Context) (ocispec.Descriptor, error) { return daemon.dump(ctx, c) }
	pause := daemon.pauser(ctx, c)
	if goOn {
		return daemon.keep(imageservice.WithPause(ctx, pause), service, c, ref, options)
	}
	thaw := func() {}
	defer func() { thaw() }()
	made, err := daemon.keep(imageservice.WithPause(ctx, func() func() {
		thaw = sync.OnceFunc(pause())
		return func() {}
	}), service, c, ref, options)
	if err != nil {
		return made, err
	}
	made.Paused = 0
	options.Tell("ending the processes")
	return made, daemon.endKept(ctx, c, thaw)
}

// executed are the commands that docker exec runs in a container: they are none
// of its first process's children, which CRIU keeps.
func executed(c *container.Container) (commands []string) {
	for _, e := range c.ExecCommands.Commands() {
		e.Lock()
		if e.Running {
			commands = append(commands, e.Entrypoint)
		}
		e.Unlock()
	}
	return commands
}

// endKept ends the processes of a paused container, for good.
func (daemon *Daemon) endKept(ctx context.Context, c *container.Container, thaw func()) error {
	c.Lock()
	// Or its restart policy would have it run again, now or with the daemon.
	c.ExitOnNext()
	c.HasBeenManuallyStopped = true
	task, err := c.GetRunningTask()
	c.Unlock()
	if err != nil {
		return nil // it has ended
	}
	err = task.Kill(ctx, syscall.SIGKILL)
	thaw()
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("there is a checkpoint of container %s, but its processes could not be ended: %w", bare(c), err)
	}
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	if ended := <-c.Wait(ctx, container.WaitConditionNotRunning); ended.Err() != nil {
		return fmt.Errorf("there is a checkpoint of container %s, but its processes have not ended: %w", bare(c), ended.Err())
	}
	return nil
}

// endPatience is how long processes may take to end that are killed.
const endPatience = 10 * time.Second

// keepable says why the processes of a container cannot be kept.
func keepable(c *container.Container, goOn bool) error {
	switch {
	case !goOn && c.HostConfig.AutoRemove:
		return errors.New("it was created with --rm, and would be removed when they end: --leave-running has them go on")
	case !goOn && c.IsPaused():
		return errors.New("it is paused: unpause it first, or leave them with --leave-running")
	case c.Config.Tty:
		return errors.New("it has a terminal (-t), which cannot be kept")
	case !freezes(c):
		return fmt.Errorf("its runtime is %s, and only runc is known to keep processes", c.HostConfig.Runtime)
	}
	return nil
}

// dump has CRIU keep the processes of a container, which go on after that. What
// it returns is held by the lease in the context.
func (daemon *Daemon) dump(ctx context.Context, c *container.Container) (ocispec.Descriptor, error) {
	options := &runcoptions.CheckpointOptions{FileLocks: true, EmptyNamespaces: []string{"network"}}
	encoded, err := typeurl.MarshalAnyToProto(options)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	kept, err := daemon.containerdClient.TaskService().Checkpoint(ctx, &tasks.CheckpointTaskRequest{ContainerID: c.ID, Options: encoded})
	if err != nil {
		return ocispec.Descriptor{}, errdefs.System(fmt.Errorf("keep the processes: %w%s (--no-process keeps the files alone)", errgrpc.ToNative(err), criuLog(err)))
	}
	for _, d := range kept.Descriptors {
		if d.MediaType == images.MediaTypeContainerd1Checkpoint {
			return ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size}, nil
		}
	}
	return ocispec.Descriptor{}, errdefs.System(errors.New("keep the processes: containerd has returned none"))
}

var criuLogPath = regexp.MustCompile(`path= ?(/\S+\.log)`)

// criuLog is what CRIU says in the log that an error of containerd's names.
func criuLog(err error) string {
	found := criuLogPath.FindStringSubmatch(err.Error())
	if found == nil {
		return ""
	}
	text, err := os.ReadFile(found[1])
	if err != nil {
		return ""
	}
	return ": " + criuErrors(string(text))
}

// criuErrors are the errors in what CRIU has printed, the first few.
func criuErrors(text string) string {
	var found []string
	for line := range strings.Lines(text) {
		if _, what, ok := strings.Cut(line, "Error ("); ok && len(found) < 4 {
			_, what, _ = strings.Cut(what, "): ")
			found = append(found, strings.TrimSpace(what))
		}
	}
	return strings.Join(found, "; ")
}

// restoredCheckpoint names the folder below that of a container's checkpoints
// from which its processes are restored.
const restoredCheckpoint = "baleen-restored"

// startRestored starts a container whose processes go on where they stood.
func (daemon *Daemon) startRestored(ctx context.Context, c *container.Container, r *imageservice.Restore) (err error) {
	process, err := r.UnpackProcess(ctx)
	if err != nil {
		return compat.DockerError(err)
	}
	dir := filepath.Join(c.CheckpointDir(), restoredCheckpoint)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	text, err := json.Marshal(process)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, remote.StoredCheckpoint), text, 0o600); err != nil {
		return err
	}
	if err := daemon.containerStart(ctx, daemon.config(), c, restoredCheckpoint, "", true); err != nil {
		return compat.DockerError(fmt.Errorf("restore the processes: %w%s", err, criuLog(err)))
	}
	return nil
}

// startTask connects a task to its networks and starts it. The processes of a
// checkpoint are there only when they run: then it is the other way round.
func (daemon *Daemon) startTask(ctx context.Context, cfg *config.Config, task libcontainerdtypes.Task, c *container.Container, spec *specs.Spec, checkpoint string) error {
	start := func() error {
		// A context that can end has had Moby's tests get stuck.
		if err := task.Start(context.WithoutCancel(ctx)); err != nil {
			return setExitCodeFromError(c.SetExitCode, err)
		}
		return nil
	}
	if checkpoint == "" {
		if err := daemon.initializeCreatedTask(ctx, cfg, task, c, spec); err != nil {
			return err
		}
		return start()
	}
	if err := start(); err != nil {
		return err
	}
	return daemon.initializeCreatedTask(ctx, cfg, task, c, spec)
}
