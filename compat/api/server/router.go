package server

import (
	"net/http"

	"github.com/baleen-project/baleen/compat/moby"
)

// Backend is the daemon.
type Backend interface {
	Revisions
	Moves
	Checkpoints
	Checks
	Usages
	Containers
}

type routes []moby.Route

// The engine's routes that take or answer more with Baleen.
const (
	commitPath  = "/commit"
	changesPath = "/containers/{name:.*}/changes"
)

// NewRouter returns the routes that Baleen adds to the engine's API, and the engine's own
// for containers.
func NewRouter(b Backend, engine moby.Router) moby.Router {
	all := own(b)
	for _, route := range engine.Routes() {
		switch {
		case route.Method() == http.MethodPost && route.Path() == commitPath:
			route = moby.NewPostRoute(commitPath, Commit(b, route.Handler()))
		case route.Method() == http.MethodGet && route.Path() == changesPath:
			route = moby.NewGetRoute(changesPath, ListChanges(b))
		}
		all = append(all, route)
	}
	return all
}

// own returns the routes that are Baleen's alone.
func own(b Backend) routes {
	return routes{
		moby.NewPostRoute("/containers/{name:.*}/snapshot", Snapshot(b)),
		moby.NewPostRoute("/containers/{name:.*}/upgrade", Upgrade(b)),
		moby.NewPostRoute("/containers/{name:.*}/rollback", Rollback(b)),
		moby.NewPostRoute("/containers/{name:.*}/checkpoint", Checkpoint(b)),
		moby.NewGetRoute("/containers/{name:.*}/checkpoint/check", CheckContainerAbility(b)),
		moby.NewGetRoute("/checkpoints/check", CheckAbility(b)),
		moby.NewPostRoute("/checkpoints/restore", Restore(b)),
		moby.NewGetRoute("/containers/{name:.*}/revisions", ListRevisions(b)),
		moby.NewPostRoute("/containers/{name:.*}/revisions/prune", PruneRevisions(b)),
		moby.NewPostRoute("/baleen/check", Check(b)),
		moby.NewGetRoute("/baleen/df", DiskUsage(b)),
	}
}

// Routes returns the routes.
func (r routes) Routes() []moby.Route { return r }
