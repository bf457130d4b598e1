package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
)

// GetContainerLayerSize returns what a container's own layers take on disk, and
// that plus all layers below them, in bytes. Moby asks also about containers
// that are just being removed: an unknown one has no size. What cannot be measured
// is logged and counts nothing: an error would take the list of all containers away.
func (s *Service) GetContainerLayerSize(ctx context.Context, id string) (own, total int64, err error) {
	ctr := s.containers.Get(id)
	if ctr == nil || s.layers.Lost(id) != nil {
		return 0, 0, nil
	}
	own, below := s.layerSize(ctx, ctr)
	if err := ctx.Err(); err != nil {
		return 0, 0, compat.DockerError(fmt.Errorf("size of container %s: %w", id, err))
	}
	return own, own + below, nil
}

func (s *Service) layerSize(ctx context.Context, ctr *moby.Container) (own, below int64) {
	logger := log.G(ctx).WithField("container", ctr.ID)
	lock := s.files.Locks.Of(ctr.ID)
	lock.RLock()
	defer lock.RUnlock()
	h := s.files.History(ctr.ID, ctr.Driver)
	stack, err := h.Stack(ctx)
	if err != nil {
		logger.WithError(err).Warn("could not find the layers of the container to measure them")
		return 0, 0
	}
	for _, layer := range stack.Own {
		size, err := h.Usage(ctx, layer)
		if err != nil {
			logger.WithError(err).WithField("snapshot", layer).Warn("could not measure a layer of the container")
			continue
		}
		own += size
	}
	below, err = usageBelow(ctx, s.files.Snapshots(ctr.Driver), stack.Own[len(stack.Own)-1])
	if err != nil && !errdefs.IsNotFound(err) {
		logger.WithError(err).Warn("could not add up the size of the layers below the container")
	}
	return own, below
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
