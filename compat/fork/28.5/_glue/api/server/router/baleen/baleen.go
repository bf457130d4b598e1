package baleen

import (
	"context"
	"net/http"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"

	"github.com/baleen-project/baleen/compat"
)

type baleenRouter struct {
	backend Backend
	routes  []router.Route
}

// NewRouter returns the routes of compat/api.
func NewRouter(b Backend) router.Router {
	r := &baleenRouter{backend: b}
	r.routes = []router.Route{
		router.NewPostRoute("/containers/{name:.*}/snapshot", printable(r.postSnapshot)),
		router.NewPostRoute("/containers/{name:.*}/upgrade", printable(r.postUpgrade)),
		router.NewPostRoute("/containers/{name:.*}/rollback", printable(r.postRollback)),
		router.NewPostRoute("/containers/{name:.*}/checkpoint", printable(r.postCheckpoint)),
		router.NewGetRoute("/checkpoints/check", printable(r.getCheck)),
		router.NewPostRoute("/checkpoints/restore", printable(r.postRestore)),
		router.NewGetRoute("/containers/{name:.*}/revisions", printable(r.getRevisions)),
		router.NewPostRoute("/containers/{name:.*}/revisions/prune", printable(r.postPrune)),
	}
	return r
}

// Routes returns the routes.
func (r *baleenRouter) Routes() []router.Route {
	return r.routes
}

// printable has the errors of a route be such as a terminal can be given.
func printable(route httputils.APIFunc) httputils.APIFunc {
	return func(ctx context.Context, w http.ResponseWriter, req *http.Request, vars map[string]string) error {
		return compat.PrintableError(route(ctx, w, req, vars))
	}
}
