package server

import (
	"context"
	"net/http"

	"github.com/baleen-project/baleen/compat/api"
)

// Revisions makes, lists and removes revisions of containers. The name is a
// container's name or id.
type Revisions interface {
	Snapshot(ctx context.Context, name string, req api.SnapshotRequest) (api.Revision, error)
	Revisions(ctx context.Context, name string) ([]api.Revision, error)
	Prune(ctx context.Context, name string, req api.PruneRequest) (api.PruneReport, error)
}

// Moves moves containers between images and revisions. The name is a container's
// name or id. A move emits how far it is, and its result last. If it fails it
// returns an error, whatever it has emitted before.
type Moves interface {
	Upgrade(ctx context.Context, name string, req api.UpgradeRequest, emit func(api.Progress)) error
	Rollback(ctx context.Context, name string, req api.RollbackRequest, emit func(api.Progress)) error
}

// Snapshot answers with the revision that it makes.
func Snapshot(b Revisions) Handler {
	return decoded(func(ctx context.Context, w http.ResponseWriter, vars map[string]string, body api.SnapshotRequest) error {
		made, err := b.Snapshot(ctx, vars["name"], body)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusCreated, made)
	})
}

// ListRevisions answers with a list of revisions.
func ListRevisions(b Revisions) Handler {
	return printable(func(ctx context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
		list, err := b.Revisions(ctx, vars["name"])
		if err != nil {
			return err
		}
		if list == nil {
			list = []api.Revision{} // some clients do not read null as a list
		}
		return writeJSON(w, http.StatusOK, list)
	})
}

// PruneRevisions answers with a report of what it removed.
func PruneRevisions(b Revisions) Handler {
	return decoded(func(ctx context.Context, w http.ResponseWriter, vars map[string]string, body api.PruneRequest) error {
		report, err := b.Prune(ctx, vars["name"], body)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, report)
	})
}

// Upgrade answers with a stream.
func Upgrade(b Moves) Handler {
	return streamed(b.Upgrade)
}

// Rollback answers with a stream.
func Rollback(b Moves) Handler {
	return streamed(b.Rollback)
}
