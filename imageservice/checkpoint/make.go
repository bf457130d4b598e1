package checkpoint

import (
	"context"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
	"github.com/baleen-project/baleen/imageservice/internal/progress"
)

// Maker makes checkpoints of containers. All fields are needed.
type Maker struct {
	Operations Operations
	Images     Images
	Names      Names
	Processes  Processes
	Freezer    Freezer
	Defaults   Defaults
	Events     Events
}

// Make keeps the whole state of a container, by its name or id, as an image. It emits
// what goes on, and the checkpoint last. If processes that are kept are not to go on, they
// stand still until the checkpoint is whole, and are ended then.
func (m *Maker) Make(ctx context.Context, name string, req api.CheckpointRequest, emit func(api.Progress)) error {
	ref, err := parseName(req.Ref)
	if err != nil {
		return err
	}
	var made api.Checkpoint
	err = m.Operations.Do(ctx, name, "a checkpoint", func(ctx context.Context, c *moby.Container) (err error) {
		made, err = m.make(ctx, c, ref, req, emit)
		return err
	})
	if err != nil {
		return err
	}
	emit(api.Progress{Checkpoint: &made})
	return nil
}

func (m *Maker) make(ctx context.Context, c *moby.Container, ref reference.Named, req api.CheckpointRequest, emit func(api.Progress)) (made api.Checkpoint, err error) {
	options := image.Options{
		Tell:  func(status string) { emit(api.Progress{Status: status}) },
		Bytes: emitBytes(emit),
	}
	if c.State.IsRunning() {
		if options.Spec, err = m.Processes.Spec(ctx, c.ID); err != nil {
			return made, compat.DockerError(fmt.Errorf("read the runtime spec of container %s: %w", bare(c), err))
		}
	}
	if options.Plain, err = m.Defaults.PlainHostConfig(); err != nil {
		return made, err
	}
	unrecorded, err := m.Operations.UnrecordedTask(ctx, c)
	if err != nil {
		return made, compat.DockerError(err)
	}
	switch { // it may have been started, or have ended, since
	case !c.State.IsRunning() && unrecorded == nil:
		made, err = m.keep(ctx, c, ref, options)
	case req.NoProcess || unrecorded != nil:
		options.Pause = func() func() { return m.Freezer.Freeze(ctx, c) }
		made, err = m.keep(ctx, c, ref, options)
	default:
		made, err = m.keepProcesses(ctx, c, ref, options, req.LeaveRunning)
	}
	if err != nil {
		return api.Checkpoint{}, err
	}
	m.Events.Log(c, moby.ActionCheckpoint, map[string]string{"imageID": made.ID.String(), "imageRef": made.Ref})
	return made, nil
}

// keep makes the checkpoint and names it.
func (m *Maker) keep(ctx context.Context, c *moby.Container, ref reference.Named, options image.Options) (api.Checkpoint, error) {
	made, err := m.Images.Checkpoint(ctx, c, options)
	if err != nil || ref == nil {
		return made, err
	}
	if err := m.Names.TagImage(ctx, moby.ImageID(made.ID), ref); err != nil {
		return api.Checkpoint{}, fmt.Errorf("name the checkpoint %s: %w", made.ID, err)
	}
	made.Ref = reference.FamiliarString(ref)
	return made, nil
}

// parseName reads the name that a checkpoint is to have; nil for none.
func parseName(ref string) (reference.Named, error) {
	if ref == "" {
		return nil, nil
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, moby.InvalidParameter(err)
	}
	if _, digested := named.(reference.Digested); digested {
		return nil, moby.InvalidParameter(fmt.Errorf("the name of a checkpoint cannot have a digest: %s", ref))
	}
	if err := compat.CheckName(named); err != nil {
		return nil, compat.DockerError(err)
	}
	return reference.TagNameOnly(named), nil
}

// emitBytes tells how far a step has got.
func emitBytes(emit func(api.Progress)) progress.Func {
	return func(current, total int64) {
		emit(api.Progress{ProgressDetail: &api.ProgressDetail{Current: current, Total: total}})
	}
}

// bare is a container's name for a person.
func bare(c *moby.Container) string { return strings.TrimPrefix(c.Name, "/") }
