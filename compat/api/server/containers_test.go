package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/baleen-project/baleen/compat/api/server"
	"github.com/baleen-project/baleen/compat/moby"
)

func (d *daemon) WithCommitQuery(ctx context.Context, query url.Values) (context.Context, error) {
	return ctx, d.ask("commit", query.Get("compression"))
}

func (d *daemon) AnswerChanges(_ context.Context, w http.ResponseWriter, name string) error {
	if _, err := io.WriteString(w, "[]"); err != nil {
		return err
	}
	return d.ask("changes", name)
}

// TestEngineRoutes: the routes of the engine that Baleen adds to are there, and get what
// it adds; the others are the engine's.
func TestEngineRoutes(t *testing.T) {
	answers := func(context.Context, http.ResponseWriter, *http.Request, map[string]string) error {
		t.Error("the engine was asked")
		return nil
	}
	engine := router{
		moby.NewGetRoute("/containers/json", answers),
		moby.NewGetRoute("/containers/{name:.*}/changes", answers),
		moby.NewPostRoute("/commit", answers),
	}
	d := &daemon{err: errors.New("refused")}
	routes := server.NewRouter(d, engine).Routes()
	find := func(method, path string) (found []moby.APIFunc) {
		for _, r := range routes {
			if r.Method() == method && r.Path() == path {
				found = append(found, r.Handler())
			}
		}
		return found
	}
	commit, changes := find("POST", "/commit"), find("GET", "/containers/{name:.*}/changes")
	if len(commit) != 1 || len(changes) != 1 {
		t.Fatalf("%d routes for commits, %d for changes", len(commit), len(changes))
	}
	req := httptest.NewRequest(http.MethodPost, "/commit?compression=zstd", nil)
	if err := commit[0](t.Context(), httptest.NewRecorder(), req, nil); !errors.Is(err, d.err) {
		t.Errorf("a commit: %v", err)
	}
	w := httptest.NewRecorder()
	if err := changes[0](t.Context(), w, nil, map[string]string{"name": "web"}); !errors.Is(err, d.err) || w.Body.String() != "[]" {
		t.Errorf("changes: %q, %v", w.Body, err)
	}
	if want := []any{"commit", "zstd", "changes", "web"}; !slices.Equal(d.asked, want) {
		t.Errorf("asked %v, want %v", d.asked, want)
	}
	for _, r := range engine {
		if len(find(r.Method(), r.Path())) == 0 {
			t.Errorf("%s %s is gone", r.Method(), r.Path())
		}
	}
}

type router []moby.Route

func (r router) Routes() []moby.Route { return r }

// TestCommitGoesOnToTheEngine: its handler gets the context, and the form that was read.
func TestCommitGoesOnToTheEngine(t *testing.T) {
	d := &daemon{}
	called := false
	h := server.Commit(d, func(_ context.Context, _ http.ResponseWriter, r *http.Request, _ map[string]string) error {
		called = r.Form.Get("container") == "web"
		return nil
	})
	req := httptest.NewRequest(http.MethodPost, "/commit?container=web", nil)
	if err := h(t.Context(), httptest.NewRecorder(), req, nil); err != nil || !called {
		t.Errorf("called %v: %v", called, err)
	}
}
