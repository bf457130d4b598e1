package imageservice

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/compat/api"
)

// SnapshotOptions says how a snapshot is made.
type SnapshotOptions struct {
	Message string
}

// Snapshot keeps a container's present state as a new revision. Of a stopped
// container no data are copied. A running one, or one whose root is mounted
// otherwise, is copied, and paused for that as [WithPause] says.
//
// It must not be called with the container locked; that holds for all methods
// that work on revisions.
func (s *Service) Snapshot(ctx context.Context, ctr *container.Container, o SnapshotOptions) (api.Revision, error) {
	return api.Revision{}, errdefs.ErrNotImplemented
}
