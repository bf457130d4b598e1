package layers

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/go-units"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/snapshotter"
)

// storageSize reads the storage options of a container: "size" says how much it
// may write, such as 1G, in units of 1024. It is 0 without a limit.
func storageSize(options map[string]string) (size int64, err error) {
	for key, value := range options {
		if key != "size" {
			return 0, fmt.Errorf("storage option %s: there is only size: %w", key, errdefs.ErrInvalidArgument)
		}
		size, err = units.RAMInBytes(value)
		if err != nil {
			return 0, fmt.Errorf("storage option size: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		if size < minimumSize {
			return 0, fmt.Errorf("storage option size: %q is less than the %s that an empty container takes: %w",
				value, units.BytesSize(minimumSize), errdefs.ErrInvalidArgument)
		}
	}
	return size, nil
}

// minimumSize is what the folders of a new container take on file systems with
// large blocks, and some.
const minimumSize = 256 << 10

// limit has the file system limit what a container writes, if size is not 0. The
// number of the project that it makes for that is kept with the snapshot. What
// the container wrote goes on counting after it has been sealed.
func limit(ctx context.Context, sn snapshots.Snapshotter, id string, mounts []mount.Mount, size int64) (project uint32, err error) {
	if size == 0 {
		return 0, nil
	}
	if project, err = snapshotter.NewProject(mounts, size); err != nil {
		return 0, fmt.Errorf("storage option size: %w", err)
	}
	label := map[string]string{containerstore.LabelProject: strconv.FormatUint(uint64(project), 10)}
	if _, err := sn.Update(ctx, snapshots.Info{Name: id, Labels: label}, "labels."+containerstore.LabelProject); err != nil {
		return 0, errors.Join(fmt.Errorf("note the project of snapshot %s: %w", id, err), unlimit(mounts, project))
	}
	return project, nil
}

func unlimit(mounts []mount.Mount, project uint32) error {
	if project == 0 {
		return nil
	}
	if err := snapshotter.DropProject(snapshotter.Home(mounts), project); err != nil {
		return fmt.Errorf("drop project %d: %w", project, err)
	}
	return nil
}

// unlimited finds out how to drop the limit of a container that is about to be
// removed. What fails leaves a record of the file system, of a number that is not
// given out again.
func (s *Store) unlimited(ctx context.Context, id string) (drop func()) {
	logger := log.G(ctx).WithField("container", id)
	sn := s.Files.Snapshots("")
	var project uint32
	var mounts []mount.Mount
	info, err := sn.Stat(ctx, id)
	if err == nil {
		project, err = containerstore.Project(info)
	}
	if err == nil && project != 0 {
		mounts, err = sn.Mounts(ctx, id)
	}
	if err != nil && !errdefs.IsNotFound(err) { // else it was released already
		logger.WithError(err).Warn("could not look up where the container's storage is limited")
	}
	return func() {
		if len(mounts) == 0 {
			return
		}
		if err := unlimit(mounts, project); err != nil {
			logger.WithError(err).Warn("could not remove the limit of the container's storage")
		}
	}
}
