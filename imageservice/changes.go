package imageservice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/log"
	"github.com/docker/docker/container"
	"github.com/moby/go-archive"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/snapshotter"
)

// Changes lists what differs in a container's file system from what it was
// created with, by path; `docker diff` prints it. Files of the init layer,
// which the runtime mounts over, are no changes. The cost follows the changes.
func (s *Service) Changes(ctx context.Context, ctr *container.Container) ([]archive.Change, error) {
	changes, err := s.changes(ctx, ctr)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("list changes of container %s: %w", ctr.ID, err))
	}
	slices.SortFunc(changes, func(a, b archive.Change) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

func (s *Service) changes(ctx context.Context, ctr *container.Container) ([]archive.Change, error) {
	defer s.turns.read(ctr.ID)()
	c, _, err := s.overlay(ctx, ctr)
	if errors.Is(err, diff.ErrUnsupported) {
		log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("listing changes by comparing whole trees")
		return s.compareTrees(ctx, ctr)
	}
	if err != nil {
		return nil, err
	}
	c.Shown = true // the container goes on meanwhile
	var changes []archive.Change
	_, err = c.Walk(ctx, func(change *diff.Change) error {
		if change.Path != "." {
			changes = append(changes, archive.Change{Path: "/" + change.Path, Kind: changeKinds[change.Kind]})
		}
		return nil
	})
	return changes, err
}

var changeKinds = map[diff.Kind]archive.ChangeType{
	diff.Added:    archive.ChangeAdd,
	diff.Modified: archive.ChangeModify,
	diff.Deleted:  archive.ChangeDelete,
}

// compareTrees lists changes at a cost that follows the image.
func (s *Service) compareTrees(ctx context.Context, ctr *container.Container) (changes []archive.Change, err error) {
	// The view below is garbage to containerd unless a lease holds it.
	ctx, end, err := s.lease(ctx, "diff", ctr.ID)
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()

	err = s.withTrees(ctx, ctr, func(before, now []mount.Mount) error {
		return mount.WithReadonlyTempMount(ctx, before, func(old string) error {
			return mount.WithReadonlyTempMount(ctx, now, func(root string) error {
				changes, err = archive.ChangesDirs(root, old)
				return err
			})
		})
	})
	return changes, err
}

// withTrees calls f with the mounts of what the container's own layers stand
// on, init layer included, and of the container, both with the image's ids. They
// are to be mounted read-only: the container may be running.
func (s *Service) withTrees(ctx context.Context, ctr *container.Container, f func(before, now []mount.Mount) error) error {
	sn := s.snapshots(ctr.Driver)
	stack, now, err := s.lookUp(ctx, ctr)
	if err != nil {
		return err
	}
	on := stack.Init
	if on == "" {
		on = stack.Base
	}
	key := temporaryKey(ctr.ID, "parent")
	ids := s.idsBefore(stack.IDs)
	view := sn.View
	if ids != nil {
		view = sn.Prepare // to be changed, below
	}
	before, err := view(ctx, key, on)
	if err != nil {
		return fmt.Errorf("view parent snapshot %q: %w", on, err)
	}
	defer removeSnapshot(ctx, sn, key)
	if ids != nil {
		if err := snapshotter.Remap(ctx, before, ids); err != nil {
			return fmt.Errorf("map ids of snapshot %q: %w", on, err)
		}
	}
	return s.withImageIDs(ctx, ctr, now, func(now []mount.Mount) error { return f(before, now) })
}

// idsBefore maps the ids of what a container stands on to the image's; nil if
// they are.
func (s *Service) idsBefore(ids containerstore.IDs) diff.MapFunc {
	switch {
	case s.ids.Empty(), ids.Way == containerstore.Mounted:
		return nil
	case ids.Way == containerstore.Remapped:
		return ids.Map.Inside
	}
	// The image has its own, and the init layer was made with the host's root.
	return func(id uint32, of diff.IDKind) (uint32, error) {
		if root, err := s.ids.ToHost(0, of); err == nil && id == root {
			return 0, nil
		}
		return id, nil
	}
}
