// Package baleen routes the requests that Baleen adds to the API.
package baleen

import (
	"context"

	"github.com/baleen-project/baleen/compat/api"
)

// Backend does what the routes ask for; name is a container's name or id.
//
// What takes tell tells how far it is, and its end in a last message. What fails
// is an error, before and after that.
type Backend interface {
	ContainerSnapshot(ctx context.Context, name string, req api.SnapshotRequest) (api.Revision, error)
	ContainerRevisions(ctx context.Context, name string) ([]api.Revision, error)
	ContainerRevisionsPrune(ctx context.Context, name string, req api.PruneRequest) (api.PruneReport, error)
	ContainerUpgrade(ctx context.Context, name string, req api.UpgradeRequest, tell func(api.Progress)) error
	ContainerCheckpoint(ctx context.Context, name string, req api.CheckpointRequest, tell func(api.Progress)) error
	CheckpointAbility(ctx context.Context) api.CheckpointAbility
	CheckpointRestore(ctx context.Context, req api.RestoreRequest, tell func(api.Progress)) error
	ContainerRollback(ctx context.Context, name string, req api.RollbackRequest, tell func(api.Progress)) error
}
