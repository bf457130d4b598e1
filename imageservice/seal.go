package imageservice

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/docker/container"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/snapshotter"
)

// seal turns a container's changes into a layer, and into the snapshot of that
// layer on top of chain, the diffIDs of the container's image. An empty layer
// gets no snapshot. Both are held only by the lease in ctx.
func (s *Service) seal(ctx context.Context, ctr *container.Container, chain []digest.Digest) (diff.Layer, error) {
	layer, err := s.weigh(ctx, ctr)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("read changes: %w", err)
	}
	if layer.Empty() {
		return layer, nil
	}
	if _, err := snapshotter.Apply(ctx, s.snapshots(ctr.Driver), s.differ, chain, layer); err != nil {
		return diff.Layer{}, err
	}
	return layer, nil
}

// weigh makes a layer of what differs in a container from what it was created
// with, init layer included: runtime files are not the container's changes.
func (s *Service) weigh(ctx context.Context, ctr *container.Container) (layer diff.Layer, err error) {
	err = s.withParent(ctx, ctr, func(lower []mount.Mount) error {
		return withRoot(ctx, ctr, func(root string) error {
			return s.withImageIDs(ctx, ctr, bindMount(root), func(upper []mount.Mount) error {
				layer, err = diff.Walk(ctx, s.differ, s.content, lower, upper)
				return err
			})
		})
	})
	return layer, err
}

// bindMount shows a mounted tree at a second place, read-only. It does not
// bring along what is mounted below.
func bindMount(root string) []mount.Mount {
	return []mount.Mount{{Type: "bind", Source: root, Options: []string{"bind", "ro"}}}
}

// withImageIDs calls f with the container's tree as the image would have it.
// Under user namespaces the container's files belong to shifted ids: then f
// gets a copy of the tree whose ids are shifted back.
func (s *Service) withImageIDs(ctx context.Context, ctr *container.Container, root []mount.Mount, f func([]mount.Mount) error) error {
	if s.idMapping.Empty() {
		return f(root)
	}
	sn := s.snapshots(ctr.Driver)
	key := temporaryKey(ctr.ID, "unmapped")
	mounts, err := sn.Prepare(ctx, key, "")
	if err != nil {
		return fmt.Errorf("prepare snapshot %s: %w", key, err)
	}
	defer removeSnapshot(ctx, sn, key)
	if err := snapshotter.CopyRemapped(ctx, mounts, root, s.idMapping.ToContainer); err != nil {
		return fmt.Errorf("map ids back: %w", err)
	}
	return f(mounts)
}

// temporaryKey names a snapshot that lives for one operation on a container.
func temporaryKey(id, purpose string) string {
	return id + "-" + purpose + "-" + rand.Text()
}

// removeSnapshot drops a temporary snapshot, also after ctx has ended.
func removeSnapshot(ctx context.Context, sn snapshots.Snapshotter, key string) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := sn.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("snapshot", key).Warn("could not remove a temporary snapshot; containerd collects it when its lease ends")
	}
}
