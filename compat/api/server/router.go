package server

import "github.com/baleen-project/baleen/compat/moby"

// Backend is the daemon.
type Backend interface {
	Revisions
	Moves
	Checkpoints
	Checks
}

type routes []moby.Route

// NewRouter returns the routes that Baleen adds to the engine's API.
func NewRouter(b Backend) moby.Router {
	return routes{
		moby.NewPostRoute("/containers/{name:.*}/snapshot", Snapshot(b)),
		moby.NewPostRoute("/containers/{name:.*}/upgrade", Upgrade(b)),
		moby.NewPostRoute("/containers/{name:.*}/rollback", Rollback(b)),
		moby.NewPostRoute("/containers/{name:.*}/checkpoint", Checkpoint(b)),
		moby.NewGetRoute("/checkpoints/check", CheckAbility(b)),
		moby.NewPostRoute("/checkpoints/restore", Restore(b)),
		moby.NewGetRoute("/containers/{name:.*}/revisions", ListRevisions(b)),
		moby.NewPostRoute("/containers/{name:.*}/revisions/prune", PruneRevisions(b)),
		moby.NewPostRoute("/baleen/check", Check(b)),
	}
}

// Routes returns the routes.
func (r routes) Routes() []moby.Route { return r }
