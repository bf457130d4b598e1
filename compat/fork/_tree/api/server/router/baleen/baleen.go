package baleen

import (
	"github.com/docker/docker/api/server/router"
)

type baleenRouter struct {
	backend Backend
	routes  []router.Route
}

// NewRouter returns the routes of compat/api.
func NewRouter(b Backend) router.Router {
	r := &baleenRouter{backend: b}
	r.routes = []router.Route{
		router.NewPostRoute("/containers/{name:.*}/snapshot", r.postSnapshot),
		router.NewPostRoute("/containers/{name:.*}/upgrade", r.postUpgrade),
		router.NewPostRoute("/containers/{name:.*}/rollback", r.postRollback),
		router.NewPostRoute("/containers/{name:.*}/checkpoint", r.postCheckpoint),
		router.NewGetRoute("/checkpoints/check", r.getCheck),
		router.NewPostRoute("/checkpoints/restore", r.postRestore),
		router.NewGetRoute("/containers/{name:.*}/revisions", r.getRevisions),
		router.NewPostRoute("/containers/{name:.*}/revisions/prune", r.postPrune),
	}
	return r
}

// Routes returns the routes.
func (r *baleenRouter) Routes() []router.Route {
	return r.routes
}
