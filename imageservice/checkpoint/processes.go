package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/protobuf/proto"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
	"github.com/baleen-project/baleen/imageservice/criu"
)

// ClientProcesses returns the processes that containerd has, by a client whose default
// namespace is the daemon's.
func ClientProcesses(client *containerd.Client) Processes { return clientProcesses{client} }

type clientProcesses struct{ client *containerd.Client }

func (p clientProcesses) Spec(ctx context.Context, id string) ([]byte, error) {
	record, err := p.client.ContainerService().Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(typeurl.MarshalProto(record.Spec))
}

func (p clientProcesses) Pids(ctx context.Context, id string) ([]uint32, error) {
	list, err := p.client.TaskService().ListPids(ctx, &tasks.ListPidsRequest{ContainerID: id})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	pids := make([]uint32, 0, len(list.Processes))
	for _, process := range list.Processes {
		pids = append(pids, process.Pid)
	}
	return pids, nil
}

func (p clientProcesses) Dump(ctx context.Context, id string) (ocispec.Descriptor, error) {
	return criu.Dump(ctx, p.client.TaskService(), id)
}

// keepProcesses makes a checkpoint with the processes of a container. They stand still
// until it is read; if they are not to go on, until the checkpoint is whole, and then they
// end: a checkpoint that fails leaves them running.
func (m *Maker) keepProcesses(ctx context.Context, c *moby.Container, ref reference.Named, options image.Options, goOn bool) (made api.Checkpoint, err error) {
	version, err := criu.Version(ctx)
	if err == nil {
		err = keepable(c, goOn)
	}
	if err != nil {
		return api.Checkpoint{}, moby.NotImplemented(fmt.Errorf("cannot keep the processes of container %s: %w (--no-process keeps the files alone)", bare(c), err))
	}
	if commands := executed(c); len(commands) > 0 {
		options.Warnings = append(options.Warnings, "commands of docker exec are not in the checkpoint: "+strings.Join(commands, ", "))
	}
	options.CRIU = version
	options.Dump = func(ctx context.Context) (ocispec.Descriptor, error) { return m.Processes.Dump(ctx, c.ID) }
	if goOn {
		options.Pause = func() func() { return m.Freezer.Freeze(ctx, c) }
		return m.keep(ctx, c, ref, options)
	}
	// The image service says so only until the checkpoint is whole.
	ctx, end, err := m.Images.KeepPaused(ctx, c.ID)
	if err != nil {
		return api.Checkpoint{}, err
	}
	defer func() { end(err) }()
	thaw := func() {}
	defer func() { thaw() }()
	options.Pause = func() func() {
		thaw = sync.OnceFunc(m.Freezer.FreezeToEnd(ctx, c))
		return func() {}
	}
	made, err = m.keep(ctx, c, ref, options)
	if err != nil {
		return made, err
	}
	made.Paused = 0
	options.Tell("ending the processes")
	return made, endKept(ctx, c, thaw)
}

// executed are the commands that docker exec runs in a container. They are no children of
// its first process, which CRIU keeps.
func executed(c *moby.Container) (commands []string) {
	for _, e := range c.ExecCommands.Commands() {
		e.Lock()
		if e.Running {
			commands = append(commands, e.Entrypoint)
		}
		e.Unlock()
	}
	return commands
}

// endPatience is how long processes may take to end that are killed.
const endPatience = 10 * time.Second

// endKept ends the processes of a paused container, for good.
func endKept(ctx context.Context, c *moby.Container, thaw func()) error {
	c.State.Lock()
	// Or its restart policy would have it run again, now or with the daemon.
	c.ExitOnNext()
	c.HasBeenManuallyStopped = true
	task, err := c.GetRunningTask()
	c.State.Unlock()
	if err != nil {
		return nil // it has ended
	}
	err = task.Kill(ctx, syscall.SIGKILL)
	thaw()
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("there is a checkpoint of container %s, but its processes could not be ended: %w", bare(c), err)
	}
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	if ended := <-c.State.Wait(ctx, moby.WaitNotRunning); ended.Err() != nil {
		return fmt.Errorf("there is a checkpoint of container %s, but its processes have not ended: %w", bare(c), ended.Err())
	}
	return nil
}

// keepable says why the processes of a container cannot be kept.
func keepable(c *moby.Container, goOn bool) error {
	switch {
	case !goOn && c.HostConfig.AutoRemove:
		return errors.New("it was created with --rm, and would be removed when they end: --leave-running has them go on")
	case !goOn && c.State.IsPaused():
		return errors.New("it is paused: unpause it first, or leave them with --leave-running")
	case c.Config.Tty:
		return errors.New("it has a terminal (-t), which cannot be kept")
	case !isRunc(c.HostConfig.Runtime):
		return fmt.Errorf("its runtime is %s, and only runc is known to keep processes", c.HostConfig.Runtime)
	}
	return nil
}

// isRunc reports whether a runtime is the engine's own.
func isRunc(runtime string) bool {
	return runtime == moby.StockRuntimeName || runtime == "io.containerd.runc.v2"
}
