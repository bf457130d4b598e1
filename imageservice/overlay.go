package imageservice

import (
	"context"
	"fmt"

	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/diff"
)

// overlay says where a container's files lie, for reading what it changed from
// there, and on which snapshot: its own layer, and the init layer if it has
// one, are above that. The error is diff.ErrUnsupported if the mounts do not
// tell: then whole trees have to be compared.
func (s *Service) overlay(ctx context.Context, ctr *container.Container) (_ *diff.Container, on string, _ error) {
	if !s.idMapping.Empty() {
		return nil, "", fmt.Errorf("%w: the ids of its files are shifted", diff.ErrUnsupported)
	}
	sn := s.snapshots(ctr.Driver)
	info, err := sn.Stat(ctx, ctr.ID)
	if err != nil {
		return nil, "", fmt.Errorf("look up snapshot: %w", err)
	}
	mounts, err := sn.Mounts(ctx, ctr.ID)
	if err != nil {
		return nil, "", fmt.Errorf("look up mounts: %w", err)
	}
	o, err := diff.ParseOverlay(mounts, info.Parent != "")
	if err != nil {
		return nil, "", err
	}
	c := &diff.Container{Overlay: o, Init: info.Parent == ctr.ID+initSuffix}
	if !c.Init {
		return c, info.Parent, nil
	}
	if info, err = sn.Stat(ctx, info.Parent); err != nil {
		return nil, "", fmt.Errorf("look up snapshot: %w", err)
	}
	return c, info.Parent, nil
}
