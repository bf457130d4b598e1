package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/docker/docker/container"
	"github.com/moby/go-archive"

	"github.com/baleen-project/baleen/compat"
)

// Changes lists what differs in a container's file system from what it was
// created with; `docker diff` prints it. Files of the init layer, which the
// runtime mounts over, are no changes.
func (s *Service) Changes(ctx context.Context, ctr *container.Container) ([]archive.Change, error) {
	changes, err := s.changes(ctx, ctr)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("list changes of container %s: %w", ctr.ID, err))
	}
	return changes, nil
}

func (s *Service) changes(ctx context.Context, ctr *container.Container) (changes []archive.Change, err error) {
	if ctr.RWLayer == nil {
		return nil, errNoLayer
	}
	// The view below is garbage to containerd unless a lease holds it.
	ctx, end, err := s.lease(ctx, "diff", ctr.ID)
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()

	err = s.withParent(ctx, ctr, func(lower []mount.Mount) error {
		return withRoot(ctx, ctr, func(root string) error {
			return mount.WithReadonlyTempMount(ctx, lower, func(parent string) error {
				changes, err = archive.ChangesDirs(root, parent)
				return err
			})
		})
	})
	return changes, err
}

// withParent calls f with the mounts of a view of what the container's layer
// stands on, init layer included.
func (s *Service) withParent(ctx context.Context, ctr *container.Container, f func([]mount.Mount) error) error {
	sn := s.snapshots(ctr.Driver)
	info, err := sn.Stat(ctx, ctr.ID)
	if err != nil {
		return fmt.Errorf("look up snapshot: %w", err)
	}
	key := temporaryKey(ctr.ID, "parent")
	mounts, err := sn.View(ctx, key, info.Parent)
	if err != nil {
		return fmt.Errorf("view parent snapshot %q: %w", info.Parent, err)
	}
	defer removeSnapshot(ctx, sn, key)
	return f(mounts)
}

// withRoot calls f with the path of the container's root file system. It goes
// through the container's own mount, which may be in use by the container: an
// upper directory must not be mounted twice.
func withRoot(ctx context.Context, ctr *container.Container, f func(root string) error) (err error) {
	root, err := ctr.RWLayer.Mount(ctr.GetMountLabel())
	if err != nil {
		return err
	}
	defer func() {
		if uerr := ctr.RWLayer.Unmount(); uerr != nil && err == nil {
			err = uerr
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f(root)
}
