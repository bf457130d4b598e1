package files

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
	"github.com/baleen-project/baleen/snapshotter"
)

// WithTrees calls f with the mounts of what the container's own layers stand
// on, init layer included, and of the container, both with the image's ids. They
// are to be mounted read-only: the container may be running.
func (c *Containers) WithTrees(ctx context.Context, ctr *moby.Container, f func(before, now []mount.Mount) error) error {
	sn := c.Snapshots(ctr.Driver)
	stack, now, err := c.lookUp(ctx, ctr)
	if err != nil {
		return err
	}
	on := stack.Init
	if on == "" {
		on = stack.Base
	}
	key := TemporaryKey(ctr.ID, "parent")
	ids := c.idsBefore(stack.IDs)
	view := sn.View
	if ids != nil {
		view = sn.Prepare // to be changed, below
	}
	before, err := view(ctx, key, on)
	if err != nil {
		return fmt.Errorf("view parent snapshot %q: %w", on, err)
	}
	defer RemoveTemporary(ctx, sn, key)
	if ids != nil {
		if err := snapshotter.Remap(ctx, before, ids); err != nil {
			return fmt.Errorf("map ids of snapshot %q: %w", on, err)
		}
	}
	return c.withImageIDs(ctx, ctr, now, func(now []mount.Mount) error { return f(before, now) })
}

// idsBefore maps the ids of what a container stands on to the image's; nil if
// they are.
func (c *Containers) idsBefore(ids containerstore.IDs) idmap.Func {
	switch {
	case c.IDs.Empty(), ids.Way == containerstore.Mounted:
		return nil
	case ids.Way == containerstore.Remapped:
		return ids.Map.Inside
	}
	// The image has its own, and the init layer was made with the host's root.
	return func(id uint32, of idmap.Kind) (uint32, error) {
		if root, err := c.IDs.ToHost(0, of); err == nil && id == root {
			return 0, nil
		}
		return id, nil
	}
}

// withImageIDs calls f with the container's tree as the image would have it.
// Under user namespaces the container's files belong to other ids: then f gets a
// copy of the tree with the image's.
func (c *Containers) withImageIDs(ctx context.Context, ctr *moby.Container, root []mount.Mount, f func([]mount.Mount) error) error {
	if c.IDs.Empty() {
		return f(root)
	}
	sn := c.Snapshots(ctr.Driver)
	key := TemporaryKey(ctr.ID, "unmapped")
	mounts, err := sn.Prepare(ctx, key, "")
	if err != nil {
		return fmt.Errorf("prepare snapshot %s: %w", key, err)
	}
	defer RemoveTemporary(ctx, sn, key)
	if err := snapshotter.CopyRemapped(ctx, mounts, root, c.IDs.Inside); err != nil {
		return fmt.Errorf("map ids back: %w", err)
	}
	return f(mounts)
}

// TemporaryKey names a snapshot that lives for one operation on a container.
func TemporaryKey(id, purpose string) string {
	return id + "-" + purpose + "-" + rand.Text()
}

// RemoveTemporary drops a temporary snapshot, also after ctx has ended.
func RemoveTemporary(ctx context.Context, sn snapshots.Snapshotter, key string) {
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	err := sn.Remove(ctx, key)
	if err != nil && !errdefs.IsNotFound(err) {
		err = sn.Remove(ctx, key) // containerd may be long in collecting it
	}
	if err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("snapshot", key).Warn("could not remove a temporary snapshot; containerd collects it when its lease ends")
	}
}
