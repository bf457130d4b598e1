// Package baleen routes the requests that Baleen adds to the API.
package baleen

import (
	"github.com/docker/docker/api/server/router"

	"github.com/baleen-project/baleen/compat/api/server"
)

// Backend is the daemon.
type Backend interface {
	server.Revisions
	server.Moves
	server.Checkpoints
}

type routes []router.Route

// NewRouter returns the routes of Baleen's API.
func NewRouter(b Backend) router.Router {
	return routes{
		router.NewPostRoute("/containers/{name:.*}/snapshot", server.Snapshot(b)),
		router.NewPostRoute("/containers/{name:.*}/upgrade", server.Upgrade(b)),
		router.NewPostRoute("/containers/{name:.*}/rollback", server.Rollback(b)),
		router.NewPostRoute("/containers/{name:.*}/checkpoint", server.Checkpoint(b)),
		router.NewGetRoute("/checkpoints/check", server.CheckAbility(b)),
		router.NewPostRoute("/checkpoints/restore", server.Restore(b)),
		router.NewGetRoute("/containers/{name:.*}/revisions", server.ListRevisions(b)),
		router.NewPostRoute("/containers/{name:.*}/revisions/prune", server.PruneRevisions(b)),
	}
}

// Routes returns the routes.
func (r routes) Routes() []router.Route { return r }
