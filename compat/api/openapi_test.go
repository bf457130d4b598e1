package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	docker "github.com/docker/docker/client"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/api/client"
	"github.com/baleen-project/baleen/compat/api/server"
	"github.com/baleen-project/baleen/compat/moby"
)

// backend is a daemon on which everything succeeds at once. It answers what it is asked.
type backend struct{ server.Backend }

func (backend) Snapshot(context.Context, string, api.SnapshotRequest) (api.Revision, error) {
	return api.Revision{}, nil
}

func (backend) Revisions(context.Context, string) ([]api.Revision, error) { return nil, nil }

func (backend) Prune(context.Context, string, api.PruneRequest) (api.PruneReport, error) {
	return api.PruneReport{}, nil
}

func (backend) Upgrade(_ context.Context, _ string, _ api.UpgradeRequest, emit func(api.Progress)) error {
	emit(api.Progress{Result: &api.Result{}})
	return nil
}

func (backend) Rollback(_ context.Context, _ string, _ api.RollbackRequest, emit func(api.Progress)) error {
	emit(api.Progress{Result: &api.Result{}})
	return nil
}

func (backend) ContainerCheckpoint(_ context.Context, _ string, _ api.CheckpointRequest, emit func(api.Progress)) error {
	emit(api.Progress{Checkpoint: &api.Checkpoint{}})
	return nil
}

func (backend) CheckpointRestore(_ context.Context, _ api.RestoreRequest, emit func(api.Progress)) error {
	emit(api.Progress{Restored: &api.Restored{}})
	return nil
}

func (backend) BaleenCheck(context.Context, api.CheckRequest) (api.CheckReport, error) {
	return api.CheckReport{}, nil
}

func (backend) ContainerCheckpointAbility(context.Context, string) (api.CheckpointAbility, error) {
	return api.CheckpointAbility{}, nil
}

func (backend) BaleenDiskUsage(context.Context) (api.DiskUsage, error) {
	return api.DiskUsage{Containers: []api.ContainerUsage{}}, nil
}

func (backend) CheckpointAbility(context.Context) api.CheckpointAbility {
	return api.CheckpointAbility{}
}

// operation is a route, and what its request and its answer are.
type operation struct {
	route           string
	request, answer any
	call            func(context.Context, *client.Client) error
}

// operations are those of the client, each with the types that it takes.
func operations() []operation {
	const on = "/containers/{name}/"
	var (
		snapshot   api.SnapshotRequest
		prune      api.PruneRequest
		upgrade    = api.UpgradeRequest{Image: "app:2"}
		rollback   api.RollbackRequest
		checkpoint api.CheckpointRequest
		restore    = api.RestoreRequest{Ref: "web:kept"}
	)
	return []operation{
		{"POST " + on + "snapshot", snapshot, api.Revision{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Snapshot(ctx, "web", snapshot)
			return err
		}},
		{"GET " + on + "revisions", nil, []api.Revision{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Revisions(ctx, "web")
			return err
		}},
		{"POST " + on + "revisions/prune", prune, api.PruneReport{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Prune(ctx, "web", prune)
			return err
		}},
		{"POST " + on + "upgrade", upgrade, api.Progress{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Upgrade(ctx, "web", upgrade, nil)
			return err
		}},
		{"POST " + on + "rollback", rollback, api.Progress{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Rollback(ctx, "web", rollback, nil)
			return err
		}},
		{"POST " + on + "checkpoint", checkpoint, api.Progress{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Checkpoint(ctx, "web", checkpoint, nil)
			return err
		}},
		{"GET " + on + "checkpoint/check", nil, api.CheckpointAbility{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.ContainerCheckpointAbility(ctx, "web")
			return err
		}},
		{"GET /checkpoints/check", nil, api.CheckpointAbility{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.CheckpointAbility(ctx)
			return err
		}},
		{"POST /checkpoints/restore", restore, api.Progress{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Restore(ctx, restore, nil)
			return err
		}},
		{"POST /baleen/check", api.CheckRequest{}, api.CheckReport{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Check(ctx, api.CheckRequest{})
			return err
		}},
		{"GET /baleen/df", nil, api.DiskUsage{}, func(ctx context.Context, c *client.Client) error {
			_, err := c.DiskUsage(ctx)
			return err
		}},
	}
}

// noRoutes is an engine without routes for containers.
type noRoutes struct{}

func (noRoutes) Routes() []moby.Route { return nil }

// TestOpenAPIRoutes: docs/api.yaml has the routes of the router, the client calls each of
// them, and each answers with the status and the message that the document says.
func TestOpenAPIRoutes(t *testing.T) {
	doc := document(t)
	var documented, served, called []string
	for path, methods := range doc.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range server.NewRouter(backend{}, noRoutes{}).Routes() {
		served = append(served, r.Method()+" "+strings.ReplaceAll(r.Path(), ":.*", ""))
	}
	for _, op := range operations() {
		called = append(called, op.route)
		t.Run(op.route, func(t *testing.T) { doc.checkOperation(t, op) })
	}
	for _, list := range [][]string{documented, served, called} {
		slices.Sort(list)
	}
	if !slices.Equal(documented, served) || !slices.Equal(called, served) {
		t.Errorf("routes of the document, of the router and of the client:\n%q\n%q\n%q", documented, served, called)
	}
}

func (d *openAPI) checkOperation(t *testing.T, op operation) {
	route, status := ask(t, op)
	if route != op.route {
		t.Errorf("the client asked %s", route)
	}
	method, path, _ := strings.Cut(op.route, " ")
	documented := d.Paths[path][strings.ToLower(method)]
	if got, want := documented.RequestBody.schema().name(), typeName(op.request); got != want {
		t.Errorf("the request is %s, and not %s", want, got)
	}
	answer, ok := documented.Responses[strconv.Itoa(status)]
	if !ok {
		t.Fatalf("it answered %d", status)
	}
	if name, found := strings.CutPrefix(answer.Ref, "#/components/responses/"); found {
		answer = d.Components.Responses[name]
	}
	if got, want := answer.schema().name(), typeName(op.answer); got != want {
		t.Errorf("the answer is %s, and not %s", want, got)
	}
}

// ask has the client ask the router, and returns what was asked and the status.
func ask(t *testing.T, op operation) (route string, status int) {
	t.Helper()
	version := regexp.MustCompile(`^/v1\.\d+`)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Api-Version", "1.51")
			return
		}
		path := version.ReplaceAllString(r.URL.Path, "")
		for _, candidate := range server.NewRouter(backend{}, noRoutes{}).Routes() {
			pattern := regexp.MustCompile("^" + regexp.MustCompile(`\{name:(.*?)\}`).ReplaceAllString(candidate.Path(), `([^/]*)`) + "$")
			m := pattern.FindStringSubmatch(path)
			if m == nil || candidate.Method() != r.Method {
				continue
			}
			route = r.Method + " " + strings.ReplaceAll(candidate.Path(), ":.*", "")
			recorded := httptest.NewRecorder()
			if err := candidate.Handler()(r.Context(), recorded, r, map[string]string{"name": "web"}); err != nil {
				t.Errorf("%s: %v", route, err)
			}
			status = recorded.Code
			w.WriteHeader(status)
			if _, err := w.Write(recorded.Body.Bytes()); err != nil {
				t.Error(err)
			}
			return
		}
		http.NotFound(w, r)
	}))
	defer s.Close()
	d, err := docker.NewClientWithOpts(docker.WithHost("tcp://"+s.Listener.Addr().String()), docker.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := op.call(t.Context(), client.New(d, client.Options{})); err != nil {
		t.Error(err)
	}
	return route, status
}

// typeName names a type as a schema does: its name, and [] for a list.
func typeName(v any) string {
	if v == nil {
		return ""
	}
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Slice {
		return "[]" + t.Elem().Name()
	}
	return t.Name()
}

// TestOpenAPISchemas: the schemas of docs/api.yaml are the messages of this package.
func TestOpenAPISchemas(t *testing.T) {
	doc := document(t)
	messages, requests := map[string]reflect.Type{}, map[string]reflect.Type{}
	for _, op := range operations() {
		if op.request != nil {
			addTypes(requests, reflect.TypeOf(op.request))
			addTypes(messages, reflect.TypeOf(op.request))
		}
		addTypes(messages, reflect.TypeOf(op.answer))
	}
	for name := range doc.Components.Schemas {
		if messages[name] == nil {
			t.Errorf("no route has a message %s", name)
		}
	}
	for name, of := range messages {
		s, ok := doc.Components.Schemas[name]
		if !ok {
			t.Errorf("there is no schema %s", name)
			continue
		}
		s.checkFields(t, name, of, requests[name] != nil)
	}
	if kinds, want := doc.Components.Schemas["Revision"].Properties["Kind"].Enum,
		[]string{string(api.KindSnapshot), string(api.KindUpgrade), string(api.KindBefore), string(api.KindCarry)}; !slices.Equal(kinds, want) {
		t.Errorf("the kinds are %q, and not %q", want, kinds)
	}
}

// checkFields compares a schema with the fields of a message. A request has no others, and
// bounds its texts and lists.
func (s schema) checkFields(t *testing.T, name string, of reflect.Type, request bool) {
	t.Helper()
	if request != (s.AdditionalProperties != nil && !*s.AdditionalProperties) {
		t.Errorf("%s: other fields are refused of a request, and of nothing else", name)
	}
	var required []string
	for i := range of.NumField() {
		f := of.Field(i)
		field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if field == "" {
			field = f.Name
		}
		optional := strings.Contains(options, "omitempty")
		if !optional {
			required = append(required, field)
		}
		p, ok := s.Properties[field]
		if !ok {
			t.Errorf("%s lacks the field %s", name, field)
			continue
		}
		if got, want := p.kind(), kindOf(f.Type, optional); got != want {
			t.Errorf("%s.%s is %s, and not %s", name, field, want, got)
		}
		if request && (p.kind() == "string" && p.MaxLength != api.MaxText || strings.HasPrefix(p.kind(), "[]") && p.MaxItems != api.MaxPaths ||
			field == "HealthTimeout" && p.Maximum != api.MaxHealthTimeout) {
			t.Errorf("%s.%s has another bound", name, field)
		}
	}
	if len(s.Properties) != of.NumField() {
		t.Errorf("%s has %d fields, and not %d", name, of.NumField(), len(s.Properties))
	}
	if !slices.Equal(required, s.Required) {
		t.Errorf("%s must have %q, and not %q", name, required, s.Required)
	}
}

// addTypes adds the structures of a type, and of its fields.
func addTypes(into map[string]reflect.Type, of reflect.Type) {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() || into[of.Name()] != nil {
		return
	}
	into[of.Name()] = of
	for i := range of.NumField() {
		addTypes(into, of.Field(i).Type)
	}
}

// kindOf is what schema.kind says of a field of a type.
func kindOf(of reflect.Type, optional bool) string {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return "string date-time"
	case of.Kind() == reflect.Pointer:
		return kindOf(of.Elem(), optional)
	case of.Kind() == reflect.Slice && optional:
		return "[]" + kindOf(of.Elem(), optional)
	case of.Kind() == reflect.Slice:
		return "[]" + kindOf(of.Elem(), optional) + " or null"
	case of.Kind() == reflect.Struct:
		return of.Name()
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.String:
		return "string"
	}
	return "integer"
}
