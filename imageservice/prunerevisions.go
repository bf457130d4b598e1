package imageservice

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/compat/api"
)

// PruneRevisions removes revisions of a container, as the request says. Those
// that the container stands on stay, and so do those that a revision stands on
// which stays; the report lists them.
func (s *Service) PruneRevisions(ctx context.Context, ctr *container.Container, r api.PruneRequest) (api.PruneReport, error) {
	return api.PruneReport{}, errdefs.ErrNotImplemented
}
