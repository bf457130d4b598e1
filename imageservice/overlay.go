package imageservice

import (
	"context"
	"fmt"

	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/diff"
)

// overlay says where a container's files lie, for reading what it changed from
// there. The error is diff.ErrUnsupported if that does not tell: then whole
// trees have to be compared.
func (s *Service) overlay(ctx context.Context, ctr *container.Container) (*diff.Container, error) {
	if !s.idMapping.Empty() {
		return nil, fmt.Errorf("%w: the ids of its files are shifted", diff.ErrUnsupported)
	}
	sn := s.snapshots(ctr.Driver)
	info, err := sn.Stat(ctx, ctr.ID)
	if err != nil {
		return nil, fmt.Errorf("look up snapshot: %w", err)
	}
	mounts, err := sn.Mounts(ctx, ctr.ID)
	if err != nil {
		return nil, fmt.Errorf("look up mounts: %w", err)
	}
	o, err := diff.ParseOverlay(mounts, info.Parent != "")
	if err != nil {
		return nil, err
	}
	return &diff.Container{Overlay: o, Init: info.Parent == ctr.ID+initSuffix}, nil
}
