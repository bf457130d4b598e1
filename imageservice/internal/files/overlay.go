package files

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// Overlay says where a container's files lie, for reading what it changed from
// there, and on which snapshot: its own layers, and the init layer if it has
// one, are above that. The error is diff.ErrUnsupported if the mounts do not
// tell: then whole trees have to be compared.
func (c *Containers) Overlay(ctx context.Context, ctr *moby.Container) (*changes.Container, containerstore.Stack, error) {
	stack, mounts, err := c.lookUp(ctx, ctr)
	if err != nil {
		return nil, stack, err
	}
	own, err := c.overlayOf(stack, mounts)
	return own, stack, err
}

// OverlayOf is Overlay of a container whose stack is known, and which nobody moves.
func (c *Containers) OverlayOf(ctx context.Context, ctr *moby.Container, stack containerstore.Stack) (*changes.Container, error) {
	mounts, err := c.Snapshots(ctr.Driver).Mounts(ctx, ctr.ID)
	if err != nil {
		return nil, fmt.Errorf("look up mounts: %w", err)
	}
	return c.overlayOf(stack, mounts)
}

func (c *Containers) overlayOf(stack containerstore.Stack, mounts []mount.Mount) (*changes.Container, error) {
	o, err := changes.ParseOverlay(mounts, stack.Init+stack.Base != "")
	if err != nil {
		return nil, err
	}
	sealed := len(stack.Own) - 1
	if len(o.Lowers) < sealed {
		return nil, fmt.Errorf("%w: %d lower folders for %d layers of its own", diff.ErrUnsupported, len(o.Lowers), sealed)
	}
	o.Uppers, o.Lowers = append(o.Uppers, o.Lowers[:sealed]...), o.Lowers[sealed:]
	switch {
	case stack.IDs.Way == containerstore.Remapped:
		// All down to the copy of the image, of which one layer has everything.
		o.IDs, o.Mapped = stack.IDs.Map, len(o.Uppers)+min(len(o.Lowers), 2)
	case stack.IDs.Way == containerstore.AsStored && !c.IDs.Empty():
		return nil, fmt.Errorf("%w: the owners of all its files were changed when it was created", diff.ErrUnsupported)
	}
	return &changes.Container{Overlay: o, Init: stack.Init != ""}, nil
}

// lookUp finds a container's snapshots and mounts. What it returns is there as
// long as the container is, also if it moves meanwhile.
func (c *Containers) lookUp(ctx context.Context, ctr *moby.Container) (stack containerstore.Stack, mounts []mount.Mount, err error) {
	lock := c.Locks.Of(ctr.ID)
	lock.RLock()
	defer lock.RUnlock()
	if stack, err = c.History(ctr.ID, ctr.Driver).Stack(ctx); err != nil {
		return stack, nil, err
	}
	if mounts, err = c.Snapshots(ctr.Driver).Mounts(ctx, ctr.ID); err != nil {
		return stack, nil, fmt.Errorf("look up mounts: %w", err)
	}
	return stack, mounts, nil
}
