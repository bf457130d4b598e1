package imageservice

import (
	"context"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
)

// Move takes a container from one state to another: an upgrade or a rollback
// that has been prepared. While it exists no other operation can change the
// container's revisions. Run or Abandon ends it; what is called after that does
// nothing.
type Move struct {
	Plan api.Plan
	// Before is the revision that the present state becomes, and To the one
	// that the container is to stand on. In a plan that is all, a dry run, they
	// have no number if they do not exist.
	Before, To api.Revision
	// State is what the daemon's record of the container must say after Run.
	State State
}

// Run keeps the present state as Before, and gives the container the files of
// To. The container must be stopped. A failure leaves the container as it was,
// unless containerd fails too; in any case [Service.State] tells.
func (m *Move) Run(ctx context.Context) error {
	return errdefs.ErrNotImplemented
}

// Abandon removes what was prepared. The container stays as it is.
func (m *Move) Abandon(ctx context.Context) error {
	return errdefs.ErrNotImplemented
}
