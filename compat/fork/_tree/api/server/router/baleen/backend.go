// Package baleen routes the requests that Baleen adds to the API.
package baleen

import (
	"context"

	"github.com/baleen-project/baleen/compat/api"
)

// Backend does what the routes ask for; name is a container's name or id.
//
// ContainerUpgrade and ContainerRollback tell how far they are, and their end
// with Progress.Result. What fails is an error, before and after that.
type Backend interface {
	ContainerSnapshot(ctx context.Context, name string, req api.SnapshotRequest) (api.Revision, error)
	ContainerRevisions(ctx context.Context, name string) ([]api.Revision, error)
	ContainerRevisionsPrune(ctx context.Context, name string, req api.PruneRequest) (api.PruneReport, error)
	ContainerUpgrade(ctx context.Context, name string, req api.UpgradeRequest, tell func(api.Progress)) error
	ContainerRollback(ctx context.Context, name string, req api.RollbackRequest, tell func(api.Progress)) error
}
