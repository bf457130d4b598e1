package daemon

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/protobuf/proto"
	"github.com/containerd/typeurl/v2"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/image"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice"
)

// ContainerCheckpoint keeps a container's whole state as an image.
func (daemon *Daemon) ContainerCheckpoint(ctx context.Context, name string, req api.CheckpointRequest, tell func(api.Progress)) error {
	made, err := daemon.checkpoint(ctx, name, req, tell)
	if err != nil {
		return err
	}
	tell(api.Progress{Checkpoint: &made})
	return nil
}

func (daemon *Daemon) checkpoint(ctx context.Context, name string, req api.CheckpointRequest, tell func(api.Progress)) (api.Checkpoint, error) {
	ref, err := checkpointName(req.Ref)
	if err != nil {
		return api.Checkpoint{}, err
	}
	request := ctx
	ctx, c, service, end, err := daemon.begin(ctx, name, "a checkpoint")
	if err != nil {
		return api.Checkpoint{}, err
	}
	defer end()
	ctx, stop := until(ctx, request)
	defer stop()
	options := imageservice.CheckpointOptions{Tell: func(status string) { tell(api.Progress{Status: status}) }, Bytes: tellBytes(tell)}
	if options.Spec, err = daemon.runtimeSpec(ctx, c); err != nil {
		return api.Checkpoint{}, err
	}
	if options.Plain, err = daemon.plainHostConfig(); err != nil {
		return api.Checkpoint{}, err
	}
	unrecorded, err := daemon.baleen.operations.UnrecordedTask(ctx, c)
	if err != nil {
		return api.Checkpoint{}, compat.DockerError(err)
	}
	var made api.Checkpoint
	switch {
	case !c.IsRunning() && unrecorded == nil:
		made, err = daemon.keep(ctx, service, c, ref, options)
	case req.NoProcess || unrecorded != nil:
		made, err = daemon.keep(daemon.pauseForCommit(ctx, c), service, c, ref, options)
	default:
		made, err = daemon.keepProcesses(ctx, service, c, ref, options, req.LeaveRunning)
	}
	if err != nil {
		return api.Checkpoint{}, err
	}
	daemon.LogContainerEventWithAttributes(c, events.ActionCheckpoint, map[string]string{"imageID": made.ID.String(), "imageRef": made.Ref})
	return made, nil
}

// tellBytes tells how far a step has got.
func tellBytes(tell func(api.Progress)) imageservice.BytesFunc {
	return func(current, total int64) {
		tell(api.Progress{ProgressDetail: &api.ProgressDetail{Current: current, Total: total}})
	}
}

// keep makes the checkpoint and names it.
func (daemon *Daemon) keep(ctx context.Context, service *imageservice.Service, c *container.Container, ref reference.Named, options imageservice.CheckpointOptions) (api.Checkpoint, error) {
	made, err := service.Checkpoint(ctx, c, options)
	if err != nil || ref == nil {
		return made, err
	}
	if err := daemon.imageService.TagImage(ctx, image.ID(made.ID), ref); err != nil {
		return api.Checkpoint{}, fmt.Errorf("name the checkpoint %s: %w", made.ID, err)
	}
	made.Ref = reference.FamiliarString(ref)
	return made, nil
}

// checkpointName reads the name that a checkpoint is to have; nil for none.
func checkpointName(ref string) (reference.Named, error) {
	if ref == "" {
		return nil, nil
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, errdefs.InvalidParameter(err)
	}
	if _, digested := named.(reference.Digested); digested {
		return nil, errdefs.InvalidParameter(fmt.Errorf("the name of a checkpoint cannot have a digest: %s", ref))
	}
	if err := compat.CheckName(named); err != nil {
		return nil, compat.DockerError(err)
	}
	return reference.TagNameOnly(named), nil
}

// runtimeSpec returns what a container runs with, encoded as containerd's own
// checkpoints have it; nil if it does not run.
func (daemon *Daemon) runtimeSpec(ctx context.Context, c *container.Container) ([]byte, error) {
	if !c.IsRunning() {
		return nil, nil
	}
	record, err := daemon.containerdClient.ContainerService().Get(ctx, c.ID)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("read the runtime spec of container %s: %w", bare(c), err))
	}
	return proto.Marshal(typeurl.MarshalProto(record.Spec))
}

// CheckpointRestore makes a container of a checkpoint. When it fails, nothing
// remains.
func (daemon *Daemon) CheckpointRestore(ctx context.Context, req api.RestoreRequest, tell func(api.Progress)) error {
	service, err := daemon.baleenService()
	if err != nil {
		return err
	}
	tell(api.Progress{Status: "looking at the checkpoint"})
	made, err := daemon.restoreCheckpoint(ctx, service, req, tell)
	if err != nil {
		return err
	}
	tell(api.Progress{Restored: &made})
	return nil
}

func (daemon *Daemon) restoreCheckpoint(ctx context.Context, service *imageservice.Service, req api.RestoreRequest, tell func(api.Progress)) (made api.Restored, err error) {
	defer errorOfPanic(ctx, &err)
	plain, err := daemon.plainHostConfig()
	if err != nil {
		return made, err
	}
	prepared, err := service.PrepareRestore(ctx, req.Ref, imageservice.RestoreOptions{Trust: req.Trust, Plain: plain})
	if err != nil {
		return made, err
	}
	defer func() { prepared.End(ctx, err) }()
	prepared.Bytes = tellBytes(tell)
	made, err = daemon.restoreContainer(ctx, prepared, req, func(status string) { tell(api.Progress{Status: status}) })
	if err != nil {
		err = fmt.Errorf("restore %s: %w", req.Ref, err)
	}
	return made, err
}
