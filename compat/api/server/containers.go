package server

import (
	"context"
	"net/http"
	"net/url"

	"github.com/baleen-project/baleen/compat/moby"
)

// Containers has what Baleen adds to the engine's own routes of containers.
type Containers interface {
	// WithCommitQuery returns a context for a commit, with what the query of its request
	// says to Baleen.
	WithCommitQuery(ctx context.Context, query url.Values) (context.Context, error)
	// AnswerChanges answers with the changes of a container, by its name or id.
	AnswerChanges(ctx context.Context, w http.ResponseWriter, name string) error
}

// Commit returns the engine's handler of commits, which gets the context of Containers.
func Commit(b Containers, engine moby.APIFunc) Handler {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if err := moby.ParseForm(r); err != nil {
			return err
		}
		ctx, err := b.WithCommitQuery(ctx, r.Form)
		if err != nil {
			return err
		}
		return engine(ctx, w, r, vars)
	}
}

// ListChanges answers with the changes of a container, of which there may be millions.
func ListChanges(b Containers) Handler {
	return func(ctx context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
		return b.AnswerChanges(ctx, w, vars["name"])
	}
}
