package imageservice

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/container"
	"github.com/docker/docker/layer"
)

// UpgradeOptions says to what a container is upgraded, and how.
type UpgradeOptions struct {
	Image   string // a name or id of an image that the daemon has
	Message string
	// Init fills the new init layer, as in CreateLayer; nil for none.
	Init   layer.MountInit
	Policy Policy
	DryRun bool // only plan; the container may be running
}

// PrepareUpgrade merges what a container changed into another image. The
// container must be stopped, and stay so until the move has been run or
// abandoned; for a dry run it may be running, and the move need not be ended.
//
// If a policy is to fail and there are conflicts, the error is a
// [*diff.ConflictError], and the move is not nil but has the plan alone.
func (s *Service) PrepareUpgrade(ctx context.Context, ctr *container.Container, o UpgradeOptions) (*Move, error) {
	return nil, errdefs.ErrNotImplemented
}
