package daemon

import (
	"context"
	"net/http"
	"net/url"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
	"github.com/baleen-project/baleen/imageservice/criu"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// apiBackend is the daemon for the routes of containers, Moby's and Baleen's.
type apiBackend struct {
	*Daemon
	*lifecycle.Operations
}

// APIBackend returns the daemon for the routes of containers.
func (daemon *Daemon) APIBackend() apiBackend { return apiBackend{daemon, daemon.baleen().operations} }

// CreateImageFromContainer freezes the container only while its files are read.
func (b apiBackend) CreateImageFromContainer(ctx context.Context, name string, config *moby.CreateImageConfig) (string, error) {
	ctx, err := b.baleen().freezer.Commit(ctx, config, func() (*moby.Container, error) { return b.GetContainer(name) })
	if err != nil {
		return "", err
	}
	return b.Daemon.CreateImageFromContainer(ctx, name, config)
}

// ContainerPause lets a freeze pass before it locks the container.
func (b apiBackend) ContainerPause(name string) error {
	c, err := b.GetContainer(name)
	if err != nil {
		return err
	}
	b.baleen().freezer.AwaitPause(c)
	return b.Daemon.ContainerPause(name)
}

// WithCommitQuery is [imageservice.WithCommitQuery].
func (b apiBackend) WithCommitQuery(ctx context.Context, query url.Values) (context.Context, error) {
	return imageservice.WithCommitQuery(ctx, query)
}

// AnswerChanges is [imageservice.AnswerChanges].
func (b apiBackend) AnswerChanges(ctx context.Context, w http.ResponseWriter, name string) error {
	return imageservice.AnswerChanges(ctx, w, b.ContainerChanges, name)
}

// checkpoints returns what makes checkpoints of the daemon's containers.
func (b apiBackend) checkpoints() *checkpoint.Maker {
	state := b.baleen()
	return &checkpoint.Maker{
		Operations: state.operations, Images: state.service.CheckpointStore(), Names: state.service, Freezer: state.freezer,
		Processes: checkpoint.ClientProcesses(b.containerdClient), Defaults: checkpointRoles{b.Daemon}, Events: baleenRoles{b.Daemon},
	}
}

// ContainerCheckpoint keeps a container's whole state as an image.
func (b apiBackend) ContainerCheckpoint(ctx context.Context, name string, req api.CheckpointRequest, emit func(api.Progress)) error {
	return b.checkpoints().Make(ctx, name, req, emit)
}

// ContainerCheckpointAbility tells whether the processes of a container can be kept.
func (b apiBackend) ContainerCheckpointAbility(ctx context.Context, name string) (api.CheckpointAbility, error) {
	return b.checkpoints().Check(ctx, name)
}

// CheckpointRestore makes a container of a checkpoint.
func (b apiBackend) CheckpointRestore(ctx context.Context, req api.RestoreRequest, emit func(api.Progress)) error {
	state, roles := b.baleen(), checkpointRoles{b.Daemon}
	if state.service == nil {
		return lifecycle.ErrOff()
	}
	r := &checkpoint.Restorer{
		Checkpoints: checkpoint.StoreCheckpoints(state.service.CheckpointStore()), Creator: roles, Starter: roles,
		Cleaner: state.cleaner, Defaults: roles, Events: baleenRoles{b.Daemon},
	}
	return r.Restore(ctx, req, emit)
}

// BaleenCheck looks for what is wrong with what the daemon has in containerd.
func (b apiBackend) BaleenCheck(ctx context.Context, req api.CheckRequest) (api.CheckReport, error) {
	return b.Check(ctx, b.containers, b.repository, req)
}

// CheckpointAbility tells whether processes can be kept and restored.
func (b apiBackend) CheckpointAbility(ctx context.Context) api.CheckpointAbility {
	return criu.Check(ctx)
}
