package clientopts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// Thaw resumes a container that [Checkpoint] paused if the process of that has ended
// before it could. Nobody may be making a checkpoint of the container meanwhile. A
// container that somebody else has paused stays so.
func Thaw(ctx context.Context, cl *client.Client, id string) error {
	p, err := look(ctx, cl, id)
	if err == nil {
		err = p.lookUpActive(ctx)
	}
	if err == nil {
		err = p.thawLeft(ctx, true)
	}
	if err != nil {
		return fmt.Errorf("thaw container %s: %w", id, err)
	}
	return nil
}

// thawLeft resumes the container if a Checkpoint that has ended left it paused: a label
// of its snapshot says so. One that may not have ended is errdefs.ErrConflict, but with
// force it counts as ended.
func (p *clientContainer) thawLeft(ctx context.Context, force bool) error {
	mark, ok := p.active.Labels[label.Paused]
	if !ok {
		return nil
	}
	if until, err := time.Parse(time.RFC3339Nano, mark); err == nil && !force && time.Now().Before(until) {
		return fmt.Errorf("another checkpoint of it is being made, or was given up less than %v ago: %w", claimTime, errdefs.ErrConflict)
	}
	task, status, err := p.task(ctx)
	if err == nil && status == client.Paused {
		err = resume(ctx, task)
	}
	if err != nil {
		return err
	}
	return p.unmarkPaused(ctx)
}

func (p *clientContainer) unmarkPaused(ctx context.Context) error {
	delete(p.active.Labels, label.Paused)
	return p.Unlabel(ctx, p.active.Name, label.Paused)
}

// lookUpActive finds the snapshot that the container is on, also if it was made without
// WithNewSnapshot.
func (p *clientContainer) lookUpActive(ctx context.Context) error {
	if p.active.Name != "" || p.record.SnapshotKey == "" {
		return nil
	}
	active, err := p.Snapshots.Stat(ctx, p.record.SnapshotKey)
	if err != nil {
		return fmt.Errorf("look up snapshot %s: %w", p.record.SnapshotKey, err)
	}
	p.active = active
	return nil
}

// task returns the container's task and its state; nil if it has none.
func (p *clientContainer) task(ctx context.Context) (client.Task, client.ProcessStatus, error) {
	c, err := p.client.LoadContainer(ctx, p.Container)
	if err != nil {
		return nil, "", fmt.Errorf("look up its record: %w", err)
	}
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("look up its task: %w", err)
	}
	status, err := task.Status(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("look up the state of its task: %w", err)
	}
	return task, status.Status, nil
}

func resume(ctx context.Context, task client.Task) error {
	if err := task.Resume(ctx); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("resume its task: %w", err)
	}
	return nil
}

// pause pauses the container, if it runs, and returns what lets it go on. Before that a
// label of its snapshot says so, which is renewed for as long as this process lives.
func (p *clientContainer) pause(ctx context.Context) (thaw func() error, err error) {
	task, status, err := p.task(ctx)
	if err != nil {
		return nil, err
	}
	if status != client.Running {
		return func() error { return nil }, nil
	}
	if err := p.Label(ctx, p.active.Name, map[string]string{label.Paused: claimUntil()}); err != nil {
		return nil, err
	}
	stop := p.hold(ctx, p.active.Name, label.Paused)
	thaw = func() error {
		ctx, cancel := snap.Cleanup(ctx)
		defer cancel()
		stop()
		if err := resume(ctx, task); err != nil {
			return err // the label says that it is paused
		}
		return p.unmarkPaused(ctx)
	}
	if err := task.Pause(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pause its task: %w", err), thaw())
	}
	return thaw, nil
}
