package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/api/server"
)

// daemon is a backend. It notes what it is asked, and emits messages and fails as a
// test says.
type daemon struct {
	asked []any
	emits []api.Progress
	err   error
	hold  func(emit func(api.Progress))
}

func (d *daemon) ask(of ...any) error {
	d.asked = append(d.asked, of...)
	return d.err
}

func (d *daemon) stream(emit func(api.Progress), of ...any) error {
	for _, p := range d.emits {
		emit(p)
	}
	if d.hold != nil {
		d.hold(emit)
	}
	return d.ask(of...)
}

func (d *daemon) Snapshot(_ context.Context, name string, req api.SnapshotRequest) (api.Revision, error) {
	return api.Revision{Number: 3, Message: req.Message}, d.ask(name, req)
}

func (d *daemon) Revisions(_ context.Context, name string) ([]api.Revision, error) {
	return nil, d.ask(name)
}

func (d *daemon) Prune(_ context.Context, name string, req api.PruneRequest) (api.PruneReport, error) {
	return api.PruneReport{Removed: []int{1}}, d.ask(name, req)
}

func (d *daemon) Upgrade(_ context.Context, name string, req api.UpgradeRequest, emit func(api.Progress)) error {
	return d.stream(emit, name, req)
}

func (d *daemon) Rollback(_ context.Context, name string, req api.RollbackRequest, emit func(api.Progress)) error {
	return d.stream(emit, name, req)
}

func (d *daemon) ContainerCheckpoint(_ context.Context, name string, req api.CheckpointRequest, emit func(api.Progress)) error {
	return d.stream(emit, name, req)
}

func (d *daemon) CheckpointRestore(_ context.Context, req api.RestoreRequest, emit func(api.Progress)) error {
	return d.stream(emit, req)
}

func (d *daemon) CheckpointAbility(context.Context) api.CheckpointAbility {
	d.asked = append(d.asked, "ability")
	return api.CheckpointAbility{Reason: "no <criu>"}
}

func (d *daemon) ContainerCheckpointAbility(_ context.Context, name string) (api.CheckpointAbility, error) {
	return api.CheckpointAbility{Reasons: []string{"no <criu>"}}, d.ask(name)
}

func (d *daemon) BaleenCheck(_ context.Context, req api.CheckRequest) (api.CheckReport, error) {
	return api.CheckReport{Findings: []api.Finding{{Text: "<lost>"}}}, d.ask(req)
}

func (d *daemon) BaleenDiskUsage(context.Context) (api.DiskUsage, error) {
	return api.DiskUsage{Containers: []api.ContainerUsage{{Name: "<web>"}}}, d.ask("usage")
}

// route is a handler with a body that it takes.
type route struct {
	handler func(*daemon) server.Handler
	body    string
	streams bool
	asks    []any // what a daemon is asked for the body
	answer  string
	status  int
}

var routes = map[string]route{
	"snapshot": {
		handler: func(d *daemon) server.Handler { return server.Snapshot(d) }, body: `{"Message":"<a>"}`,
		asks: []any{"web", api.SnapshotRequest{Message: "<a>"}}, answer: `"Message":"<a>"`, status: 201,
	},
	"revisions": {
		handler: func(d *daemon) server.Handler { return server.ListRevisions(d) },
		asks:    []any{"web"}, answer: "[]\n", status: 200,
	},
	"prune": {
		handler: func(d *daemon) server.Handler { return server.PruneRevisions(d) }, body: `{"Keep":2}`,
		asks: []any{"web", api.PruneRequest{Keep: 2}}, answer: `"Removed":[1]`, status: 200,
	},
	"upgrade": {
		handler: func(d *daemon) server.Handler { return server.Upgrade(d) }, body: `{"Image":"x"}`, streams: true,
		asks: []any{"web", api.UpgradeRequest{Image: "x"}},
	},
	"rollback": {
		handler: func(d *daemon) server.Handler { return server.Rollback(d) }, body: `{"Revision":1}`, streams: true,
		asks: []any{"web", api.RollbackRequest{Revision: 1}},
	},
	"checkpoint": {
		handler: func(d *daemon) server.Handler { return server.Checkpoint(d) }, body: `{"Ref":"x"}`, streams: true,
		asks: []any{"web", api.CheckpointRequest{Ref: "x"}},
	},
	"restore": {
		handler: func(d *daemon) server.Handler { return server.Restore(d) }, body: `{"Ref":"x"}`, streams: true,
		asks: []any{api.RestoreRequest{Ref: "x"}},
	},
	"check": {
		handler: func(d *daemon) server.Handler { return server.Check(d) }, body: `{"Repair":true}`,
		asks: []any{api.CheckRequest{Repair: true}}, answer: `"<lost>"`, status: 200,
	},
	"usage": {
		handler: func(d *daemon) server.Handler { return server.DiskUsage(d) },
		asks:    []any{"usage"}, answer: `"<web>"`, status: 200,
	},
	"ability of a container": {
		handler: func(d *daemon) server.Handler { return server.CheckContainerAbility(d) },
		asks:    []any{"web"}, answer: `"Reasons":["no <criu>"]`, status: 200,
	},
	"ability": {
		handler: func(d *daemon) server.Handler { return server.CheckAbility(d) },
		asks:    []any{"ability"}, answer: `"no <criu>"`, status: 200,
	},
}

// hasBody reports whether a route reads the body of its request.
func (r route) hasBody() bool { return r.body != "" }

var vars = map[string]string{"name": "web"}

func post(body io.Reader) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func (r route) serve(d *daemon, req *http.Request) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	err := r.handler(d)(req.Context(), w, req, vars)
	return w, err
}

func TestHandlersAskTheDaemon(t *testing.T) {
	for name, r := range routes {
		t.Run(name, func(t *testing.T) {
			d := &daemon{emits: []api.Progress{{Status: "<1>"}, {Status: "2"}}}
			w, err := r.serve(d, post(strings.NewReader(r.body)))
			if err != nil || !slices.Equal(names(d.asked), names(r.asks)) {
				t.Fatalf("asked %v, want %v: %v", d.asked, r.asks, err)
			}
			want, status := r.answer, r.status
			if r.streams {
				want, status = "{\"Status\":\"<1>\"}\n{\"Status\":\"2\"}\n", 200
			}
			if w.Code != status || !strings.Contains(w.Body.String(), want) || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("status %d, %v, body %s; want %d and %s", w.Code, w.Header(), w.Body, status, want)
			}
		})
	}
}

// names are values as JSON, to be compared: some hold lists.
func names(of []any) (encoded []string) {
	for _, v := range of {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		encoded = append(encoded, string(text))
	}
	return encoded
}

func TestErrorOfTheDaemonIsReturnedPrintable(t *testing.T) {
	for name, r := range routes {
		if name == "ability" {
			continue // it cannot fail
		}
		t.Run(name, func(t *testing.T) {
			d := &daemon{err: errdefs.ErrConflict.WithMessage("busy \x1b[31m")}
			w, err := r.serve(d, post(strings.NewReader(r.body)))
			if !errdefs.IsConflict(err) || err.Error() != `busy \x1b[31m` || w.Body.Len() > 0 {
				t.Errorf("%v, body %q", err, w.Body)
			}
		})
	}
}

func TestErrorAfterAMessageIsTheLastMessage(t *testing.T) {
	for name, r := range routes {
		if !r.streams {
			continue
		}
		t.Run(name, func(t *testing.T) {
			d := &daemon{emits: []api.Progress{{Status: "1"}}, err: errors.New("no \x1b")}
			w, err := r.serve(d, post(strings.NewReader(r.body)))
			if err != nil || w.Code != 200 {
				t.Fatalf("status %d: %v", w.Code, err)
			}
			lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
			var last api.Progress
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Error != `no \x1b` || len(lines) != 2 {
				t.Errorf("%q: %v", lines, err)
			}
		})
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestHostileBodiesDoNotReachTheDaemon(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, r := range routes {
		if !r.hasBody() {
			continue
		}
		for body, want := range map[string]string{
			`{"Massage":"x"}`:            "unknown field",
			r.body + r.body:              "unexpected content",
			`{"Message":`:                "invalid JSON",
			`[]`:                         "invalid JSON",
			`"x"`:                        "invalid JSON",
			`{"Message":"` + long + `"}`: "more than 1048576 bytes",
			`{"Message":[` + strings.Repeat("0,", 30_000) + `0]}`:                   "more than 20000 values",
			`{"Message":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`: "more than 16 levels",
		} {
			d := &daemon{}
			w, err := r.serve(d, post(strings.NewReader(body)))
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) || d.asked != nil || w.Body.Len() > 0 {
				t.Errorf("%s of %.40q: %v, asked %v, body %s; want %s", name, body, err, d.asked, w.Body, want)
			}
		}
		d, body := &daemon{}, &endless{}
		if _, err := r.serve(d, post(body)); !errdefs.IsInvalidArgument(err) || d.asked != nil || body.read > 4<<20 {
			t.Errorf("%s of an endless body: %v, asked %v, read %d bytes", name, err, d.asked, body.read)
		}
	}
}

func TestValidationsApply(t *testing.T) {
	for name, body := range map[string]string{
		"snapshot": `{"Message":"` + strings.Repeat("x", api.MaxText+1) + `"}`, "prune": `{"Keep":-1}`,
		"upgrade": `{"HealthTimeout":-1}`, "rollback": `{"Revision":-1}`, "restore": `{}`,
		"checkpoint": `{"Ref":"` + strings.Repeat("x", api.MaxText+1) + `"}`,
	} {
		d := &daemon{}
		if _, err := routes[name].serve(d, post(strings.NewReader(body))); !errdefs.IsInvalidArgument(err) || d.asked != nil {
			t.Errorf("%s: %v, asked %v", name, err, d.asked)
		}
	}
}

func TestContentType(t *testing.T) {
	for _, tc := range []struct{ header, body, err string }{
		{"application/json; charset=utf-8", `{}`, ""},
		{"", "", ""},
		{"", `{}`, "malformed Content-Type header (): "},
		{"text/plain", `{}`, "unsupported Content-Type header (text/plain): must be 'application/json'"},
		{"text/plain", "", "unsupported Content-Type"},
		{"a/b\x1b; =", "{}", "malformed Content-Type header (a/b\\x1b"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tc.body))
		if tc.header != "" {
			r.Header.Set("Content-Type", tc.header)
		}
		d := &daemon{}
		_, err := routes["snapshot"].serve(d, r)
		switch {
		case tc.err == "" && (err != nil || d.asked == nil):
			t.Errorf("%q: %v", tc.header, err)
		case tc.err != "" && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tc.err) || d.asked != nil):
			t.Errorf("%q: %v, asked %v; want %s", tc.header, err, d.asked, tc.err)
		}
	}
}

func TestARequestWithoutABodyIsTheDefault(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Body = nil
	d := &daemon{}
	if _, err := routes["snapshot"].serve(d, r); err != nil || len(d.asked) != 2 {
		t.Errorf("asked %v: %v", d.asked, err)
	}
}

// TestMessagesArriveAsTheyAreEmitted reads the first message while the daemon still
// works.
func TestMessagesArriveAsTheyAreEmitted(t *testing.T) {
	read := make(chan struct{})
	d := &daemon{emits: []api.Progress{{Status: "1"}}, hold: func(func(api.Progress)) { <-read }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := server.Upgrade(d)(r.Context(), w, r, vars); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	answer, err := http.Post(s.URL, "application/json", strings.NewReader(`{"Image":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	close(read)
	if err != nil || line != "{\"Status\":\"1\"}\n" {
		t.Errorf("%q: %v", line, err)
	}
}

func TestAMessageAfterTheEndIsDropped(t *testing.T) {
	var late func(api.Progress)
	d := &daemon{emits: []api.Progress{{Status: "1"}}, hold: func(emit func(api.Progress)) { late = emit }}
	w, err := routes["restore"].serve(d, post(strings.NewReader(routes["restore"].body)))
	before := w.Body.String()
	late(api.Progress{Status: "late"})
	if err != nil || before == "" || w.Body.String() != before {
		t.Errorf("%q, then %q: %v", before, w.Body, err)
	}
}

func TestMessagesOfSeveralAreWhole(t *testing.T) {
	const senders, each = 8, 50
	d := &daemon{hold: func(emit func(api.Progress)) {
		var all sync.WaitGroup
		for range senders {
			all.Add(1)
			go func() {
				defer all.Done()
				for range each {
					emit(api.Progress{Status: "text"})
				}
			}()
		}
		all.Wait()
	}}
	w, err := routes["upgrade"].serve(d, post(strings.NewReader(`{"Image":"x"}`)))
	want := strings.Repeat("{\"Status\":\"text\"}\n", senders*each)
	if err != nil || w.Body.String() != want {
		t.Errorf("%d bytes, want %d: %v", w.Body.Len(), len(want), err)
	}
}

// gone is the connection of a client that has gone.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWorkGoesOnWithoutItsClient(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		r := routes[name]
		if !r.streams {
			continue
		}
		d := &daemon{emits: []api.Progress{{Status: "1"}, {Status: "2"}}}
		req := post(strings.NewReader(r.body))
		err := r.handler(d)(req.Context(), gone{httptest.NewRecorder()}, req, vars)
		if err != nil || d.asked == nil {
			t.Errorf("%s: asked %v: %v", name, d.asked, err)
		}
	}
}
