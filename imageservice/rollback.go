package imageservice

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/container"
)

// RollbackOptions says to which revision a container goes, and how.
type RollbackOptions struct {
	// Revision is its number; 0 is the one before the last upgrade, or else
	// the one that the container stands on, as it was sealed.
	Revision int
	Message  string // of the revision that the present state becomes
	// Carry merges what the container changed since its last upgrade into the
	// revision, as a new one. Conflicts are Policy's.
	Carry  bool
	Policy Policy
	DryRun bool // only plan; the container may be running
}

// PrepareRollback prepares to go to an earlier revision, or a later one again.
// For the rest it is as [Service.PrepareUpgrade].
func (s *Service) PrepareRollback(ctx context.Context, ctr *container.Container, o RollbackOptions) (*Move, error) {
	return nil, errdefs.ErrNotImplemented
}
