package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat"
)

// GetContainerLayerSize returns what a container's writable layer takes on
// disk, and that plus all layers below it, in bytes. Moby asks also about
// containers that are just being removed: an unknown one has no size.
func (s *Service) GetContainerLayerSize(ctx context.Context, id string) (own, total int64, err error) {
	ctr := s.containers.Get(id)
	if ctr == nil {
		return 0, 0, nil
	}
	sn := s.snapshots(ctr.Driver)
	usage, err := sn.Usage(ctx, id)
	if err != nil {
		return 0, 0, compat.DockerError(fmt.Errorf("size of container %s: %w", id, err))
	}
	below, err := usageBelow(ctx, sn, id)
	if err != nil && !errdefs.IsNotFound(err) {
		// The total is for display: better a low one than none of the list.
		log.G(ctx).WithError(err).WithField("container", id).Warn("could not add up the size of the layers below the container")
	}
	return usage.Size, usage.Size + below, nil
}

// usageBelow adds up the sizes of a snapshot's ancestors. What was added up
// until an error is returned with it.
func usageBelow(ctx context.Context, sn snapshots.Snapshotter, key string) (int64, error) {
	var sum int64
	for {
		info, err := sn.Stat(ctx, key)
		if err != nil {
			return sum, err
		}
		if info.Parent == "" {
			return sum, nil
		}
		key = info.Parent
		usage, err := sn.Usage(ctx, key)
		if err != nil {
			return sum, err
		}
		sum += usage.Size
	}
}
