package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	docker "github.com/docker/docker/client"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/api/client"
)

// connected returns a client to a daemon that answers with the handler to all
// but pings.
func connected(t *testing.T, handler http.HandlerFunc, opts ...docker.Opt) *client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Api-Version", "1.44")
			return
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	d, err := docker.NewClientWithOpts(append([]docker.Opt{
		docker.WithHost("tcp://" + server.Listener.Addr().String()), docker.WithAPIVersionNegotiation(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return client.New(d, client.Options{Header: http.Header{"x-meta": {"krill"}}})
}

func TestErrorsHaveClasses(t *testing.T) {
	const named = `{"message":"No such container: web"}`
	for name, test := range map[string]struct {
		status int
		body   string
		is     error
		isNot  error
		text   string
	}{
		"no route":     {404, `{"message":"page not found"}`, client.ErrNotBaleen, errdefs.ErrNotFound, ""},
		"no container": {404, named, errdefs.ErrNotFound, client.ErrNotBaleen, "Error response from daemon: No such container: web"},
		"wrong":        {400, `{"message":"no"}`, errdefs.ErrInvalidArgument, client.ErrNotBaleen, "Error response from daemon: no"},
		"conflict":     {409, `{"message":"no"}`, errdefs.ErrConflict, client.ErrNotBaleen, "Error response from daemon: no"},
		"plain text":   {500, "no\n", errdefs.ErrInternal, client.ErrNotBaleen, "Error response from daemon: no"},
		"other JSON":   {500, `{"error":1}`, errdefs.ErrInternal, client.ErrNotBaleen, `Error response from daemon: {"error":1}`},
		"no text":      {503, "", errdefs.ErrUnavailable, client.ErrNotBaleen, "Error response from daemon: 503 Service Unavailable"},
		"half a list":  {200, "[", io.ErrUnexpectedEOF, client.ErrNotBaleen, ""},
		"no list":      {200, "", io.ErrUnexpectedEOF, client.ErrNotBaleen, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := connected(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			_, err := c.Revisions(t.Context(), "web")
			if !errors.Is(err, test.is) || errors.Is(err, test.isNot) {
				t.Errorf("%v is %v: %v, is %v: %v", err, test.is, errors.Is(err, test.is), test.isNot, errors.Is(err, test.isNot))
			}
			if test.text != "" && err.Error() != test.text {
				t.Errorf("the text is %q, not %q", err, test.text)
			}
		})
	}
}

// The version is the one that both sides know, or that the user insists on.
func TestVersionAndHeader(t *testing.T) {
	for name, test := range map[string]struct {
		opts []docker.Opt
		want string
	}{
		"negotiated": {nil, "/v1.44/containers/web/revisions"},
		"set":        {[]docker.Opt{docker.WithVersion("1.50")}, "/v1.50/containers/web/revisions"},
	} {
		t.Run(name, func(t *testing.T) {
			var path, header string
			c := connected(t, func(w http.ResponseWriter, r *http.Request) {
				path, header = r.URL.Path, r.Header.Get("X-Meta")
				fmt.Fprint(w, "[]")
			}, test.opts...)
			if _, err := c.Revisions(t.Context(), "/web"); err != nil {
				t.Fatal(err)
			}
			if path != test.want || header != "krill" {
				t.Errorf("asked for %s with X-Meta %q", path, header)
			}
		})
	}
}

func TestNamesThatAreNone(t *testing.T) {
	c := connected(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) })
	for _, name := range []string{"", "/", ".", "..", "a/b", "a b", "../images"} {
		if _, err := c.Snapshot(t.Context(), name, api.SnapshotRequest{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestMessagesArriveInOrder(t *testing.T) {
	c := connected(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Status":"a"}{"Status":"b"}`+"\n\n"+`{"Result":{"Revision":{"Number":2}}}{"Status":"too late"}`)
	})
	var got []string
	result, err := c.Rollback(t.Context(), "web", api.RollbackRequest{}, func(p api.Progress) { got = append(got, p.Status) })
	if err != nil || result.Revision.Number != 2 || !slices.Equal(got, []string{"a", "b", ""}) {
		t.Errorf("%v, %+v, %v", got, result, err)
	}
}

func TestCancelInTheMiddle(t *testing.T) {
	c := connected(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"Status":"stopping the container"}`)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := c.Upgrade(ctx, "web", api.UpgradeRequest{}, func(api.Progress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
