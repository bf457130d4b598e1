package imageservice

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/compat/api"
)

// Revisions lists the kept states of a container, the oldest first.
func (s *Service) Revisions(ctx context.Context, ctr *container.Container) ([]api.Revision, error) {
	return nil, errdefs.ErrNotImplemented
}
