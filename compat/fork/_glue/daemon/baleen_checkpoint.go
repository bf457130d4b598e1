package daemon

import (
	"context"
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
	"github.com/baleen-project/baleen/imageservice/criu"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// ContainerCheckpoint keeps a container's whole state as an image.
func (daemon *Daemon) ContainerCheckpoint(ctx context.Context, name string, req api.CheckpointRequest, emit func(api.Progress)) error {
	service, err := daemon.baleenService()
	if err != nil {
		return err
	}
	m := &checkpoint.Maker{
		Operations: daemon.baleen.operations, Images: service,
		Processes: checkpoint.ClientProcesses(daemon.containerdClient),
		Freezer:   daemon.baleen.freezer, Defaults: checkpointRoles{daemon}, Events: baleenRoles{daemon},
	}
	return m.Make(ctx, name, req, emit)
}

// CheckpointRestore makes a container of a checkpoint.
func (daemon *Daemon) CheckpointRestore(ctx context.Context, req api.RestoreRequest, emit func(api.Progress)) error {
	service, err := daemon.baleenService()
	if err != nil {
		return err
	}
	roles := checkpointRoles{daemon}
	r := &checkpoint.Restorer{
		Checkpoints: checkpoint.ServiceCheckpoints(service), Creator: roles, Starter: roles,
		Cleaner: daemon.cleaner(service), Defaults: roles, Events: baleenRoles{daemon},
	}
	return r.Restore(ctx, req, emit)
}

// CheckpointAbility tells whether processes can be kept and restored.
func (daemon *Daemon) CheckpointAbility(ctx context.Context) api.CheckpointAbility {
	return criu.Check(ctx)
}

// cleaner removes containers whose creation or restore was cut short.
func (daemon *Daemon) cleaner(service *imageservice.Service) *unfinished.Cleaner {
	return &unfinished.Cleaner{
		Containers: daemon.containers, Users: daemon.baleen.images,
		Layers: service, Daemon: checkpointRoles{daemon}, Folder: daemon.repository,
	}
}

// newLayer makes the writable layer of a new container.
func (daemon *Daemon) newLayer(ctx context.Context, c *moby.Container) (moby.RWLayer, error) {
	init := setupInitLayer(daemon.idMapping.RootPair())
	service, err := daemon.baleenService()
	if err != nil { // the images are a graph driver's
		return daemon.imageService.CreateLayer(c, init)
	}
	return checkpoint.NewLayer(ctx, service, c, init)
}

// created takes the mark off a container that is registered.
func (daemon *Daemon) created(ctx context.Context, c *moby.Container) {
	unfinished.Created(ctx, c)
}

// startTask starts a task, and connects it to its networks. A context that can end has
// got Moby's tests stuck.
func (daemon *Daemon) startTask(ctx context.Context, cfg *moby.DaemonConfig, task moby.Task, c *moby.Container, spec *specs.Spec, checkpoint string) error {
	connect := func() error { return daemon.initializeCreatedTask(ctx, cfg, task, c, spec) }
	start := func() error {
		return setExitCodeFromError(c.State.SetExitCode, task.Start(context.WithoutCancel(ctx)))
	}
	return criu.Start(checkpoint != "", connect, start)
}

// checkpointRoles are the roles of packages checkpoint and unfinished.
type checkpointRoles struct{ daemon *Daemon }

func (r checkpointRoles) AsRequested(ctx context.Context, params moby.ContainerCreateConfig) (moby.ContainerCreateConfig, []string, error) {
	return r.daemon.asRequest(ctx, params)
}

func (r checkpointRoles) Create(ctx context.Context, params moby.ContainerCreateConfig) (moby.CreateResponse, error) {
	return r.daemon.ContainerCreate(ctx, params)
}

func (r checkpointRoles) FindNetwork(name string) error {
	_, err := r.daemon.FindNetwork(name)
	return err
}

func (r checkpointRoles) Start(ctx context.Context, c *moby.Container) error {
	return r.daemon.ContainerStart(ctx, c.ID, "", "")
}

func (r checkpointRoles) StartFrom(ctx context.Context, c *moby.Container, checkpoint string) error {
	return r.daemon.containerStart(ctx, r.daemon.config(), c, checkpoint, "", true)
}

func (r checkpointRoles) LoadTask(ctx context.Context, c *moby.Container) error {
	return c.RestoreTask(ctx, r.daemon.containerd)
}

func (r checkpointRoles) Unmount(c *moby.Container) error { return r.daemon.Unmount(c) }

func (r checkpointRoles) Remove(c *moby.Container) error {
	return r.daemon.ContainerRm(c.ID, &moby.ContainerRmConfig{ForceRemove: true, RemoveVolume: true})
}

func (r checkpointRoles) RemoveUnregistered(c *moby.Container) error {
	return r.daemon.cleanupContainer(c, moby.ContainerRmConfig{ForceRemove: true, RemoveVolume: true})
}

// PlainHostConfig is what a container gets of which nothing is asked.
func (r checkpointRoles) PlainHostConfig() (*moby.HostConfig, error) {
	config, host := r.daemon.config(), &moby.HostConfig{}
	if _, err := r.daemon.verifyContainerSettings(config, host, nil, false); err != nil {
		return nil, moby.System(err)
	}
	return host, moby.System(errors.Join(r.daemon.adaptContainerSettings(&config.Config, host), r.daemon.mergeAndVerifyLogConfig(&host.LogConfig)))
}
