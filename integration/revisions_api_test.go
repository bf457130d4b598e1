package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/stack"
)

// version is a prefix of the API's paths; without one it is the newest.
const version = "/v1.44"

// server is what the images of apps run: it ends when it is told to.
const server = `CMD ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]` + "\n"

// app builds an image of busybox with a file that names it, and of what the
// rest of a Dockerfile says.
func (e *env) app(t *testing.T, name, rest string) {
	t.Helper()
	text := "FROM busybox\nRUN echo " + name + " > /version && mkdir -p /data\n" + server + rest
	if out, err := e.build(t, text, "-t", name); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
}

// open sends a request to the API.
func (e *env) open(ctx context.Context, method, path, body string) (*http.Response, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", strings.TrimPrefix(e.Host(), "unix://"))
		},
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return (&http.Client{Transport: transport}).Do(req)
}

// request sends a request to the API and returns the answer.
func (e *env) request(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	resp, err := e.open(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// call sends a request that must succeed, and decodes the answer.
func (e *env) call(t *testing.T, method, path string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := e.request(t, method, path, string(text))
	if status >= 300 {
		t.Fatalf("%s %s %s: %d %s", method, path, text, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
}

// move sends a request for an upgrade or rollback and returns the messages. If
// they end in an error that is returned, and so is an answer without messages.
func (e *env) move(ctx context.Context, path string, request any) ([]api.Progress, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	resp, err := e.open(ctx, http.MethodPost, path, string(text))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(resp.Body)
		return nil, errors.Join(fmt.Errorf("%s %s: %d %s", path, text, resp.StatusCode, answer), err)
	}
	return messages(resp.Body)
}

func messages(body io.Reader) ([]api.Progress, error) {
	var list []api.Progress
	for dec := json.NewDecoder(body); ; {
		var p api.Progress
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return list, err
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, errors.New("a stream without messages")
	}
	for i, p := range list {
		if end := p.Error != "" || p.Result != nil; end != (i == len(list)-1) {
			return list, fmt.Errorf("message %d of %d: %+v", i, len(list), p)
		}
	}
	if last := list[len(list)-1]; last.Error != "" {
		return list, errors.New(last.Error)
	}
	return list, nil
}

// moved is move, which must succeed, and returns the plan and the result.
func (e *env) moved(t *testing.T, path string, request any) (api.Plan, api.Result) {
	t.Helper()
	list, err := e.move(t.Context(), path, request)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	planned := slices.IndexFunc(list, func(p api.Progress) bool { return p.Plan != nil })
	if planned < 0 {
		t.Fatalf("%s told no plan: %+v", path, list)
	}
	return *list[planned].Plan, *list[len(list)-1].Result
}

func (e *env) upgrade(t *testing.T, name string, r api.UpgradeRequest) (api.Plan, api.Result) {
	t.Helper()
	return e.moved(t, version+"/containers/"+name+"/upgrade", r)
}

func (e *env) rollback(t *testing.T, name string, r api.RollbackRequest) (api.Plan, api.Result) {
	t.Helper()
	return e.moved(t, version+"/containers/"+name+"/rollback", r)
}

func (e *env) snapshot(t *testing.T, name, message string) (r api.Revision) {
	t.Helper()
	e.call(t, http.MethodPost, version+"/containers/"+name+"/snapshot", api.SnapshotRequest{Message: message}, &r)
	return r
}

func (e *env) revisions(t *testing.T, name string) (list []api.Revision) {
	t.Helper()
	e.call(t, http.MethodGet, version+"/containers/"+name+"/revisions", nil, &list)
	return list
}

// start creates a container of an app that runs until it is stopped.
func (e *env) start(t *testing.T, name string, args ...string) {
	t.Helper()
	t.Cleanup(func() { e.remove(t, name) })
	e.docker(t, append([]string{"run", "-d", "--name", name}, args...)...)
}

// reads fails unless a file of a running container has a text.
func (e *env) reads(t *testing.T, name, path, text string) {
	t.Helper()
	if got := e.docker(t, "exec", name, "cat", path); got != text {
		t.Errorf("%s of %s holds %q, want %q", path, name, got, text)
	}
}

// TestRevisionRoutes goes through all routes with one container.
func TestRevisionRoutes(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	e.app(t, "app:1", "ENV FROM_IMAGE=1\n")
	e.app(t, "app:2", "ENV FROM_IMAGE=2\nWORKDIR /work\nRUN mkdir /cache && echo cached > /cache/x\nVOLUME /cache\n")
	e.docker(t, "network", "create", "net")
	e.docker(t, "volume", "create", "vol")
	before := e.state(t)
	e.start(t, "web", "--network", "net", "-p", "8080", "-v", "vol:/vol", "--restart", "on-failure:3", "--memory", "64m", "-e", "MINE=1", "--label", "mine=1", "app:1")
	e.docker(t, "exec", "web", "sh", "-c", "echo one > /data/file; echo kept > /vol/file")
	if list := e.revisions(t, "web"); len(list) != 0 {
		t.Errorf("a new container has revisions %+v", list)
	}

	first := e.snapshot(t, "web", "the first")
	if first.Number != 1 || first.Message != "the first" || first.Kind != api.KindSnapshot || first.Image != "app:1" || first.ImageID == "" {
		t.Errorf("the snapshot is %+v", first)
	}
	e.docker(t, "exec", "web", "sh", "-c", "echo two > /data/file")

	same := `{{.Id}} {{.Name}} {{.Created}} {{json .HostConfig}} {{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}{{.RestartCount}} {{range $p, $_ := .NetworkSettings.Ports}}{{$p}} {{end}}`
	was := e.inspect(t, "web", same)
	plan, result := e.upgrade(t, "web", api.UpgradeRequest{Image: "app:2", Message: "to two"})
	if plan.From.Name != "app:1" || plan.To.Name != "app:2" || len(plan.Config) == 0 {
		t.Errorf("the plan is %+v", plan)
	}
	if !result.Started || result.RolledBack != "" || result.Revision.Image != "app:2" || result.Before.Image != "app:1" || !result.Revision.Current {
		t.Errorf("the result is %+v", result)
	}
	if is := e.inspect(t, "web", same); is != was {
		t.Errorf("after the upgrade docker inspect says\n%s\nbefore it said\n%s", is, was)
	}
	e.reads(t, "web", "/version", "app:2")
	e.reads(t, "web", "/data/file", "two")
	e.reads(t, "web", "/vol/file", "kept")
	e.reads(t, "web", "/cache/x", "cached")
	e.tellsTheTruth(t, "web", "app:2")

	list := e.revisions(t, "web")
	if n := len(list); n != 3 || !list[n-1].Current || list[n-1].Number != result.Revision.Number || list[0].Number != 1 {
		t.Errorf("the revisions are %+v", list)
	}
	_, result = e.rollback(t, "web", api.RollbackRequest{Message: "back"})
	if !result.Started || result.Revision.Image != "app:1" || len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "/cache stays mounted") {
		t.Errorf("the result of the rollback is %+v", result)
	}
	e.reads(t, "web", "/version", "app:1")
	e.reads(t, "web", "/data/file", "two")
	e.tellsTheTruth(t, "web", "app:1")
	e.rollback(t, "web", api.RollbackRequest{Revision: 1})
	e.reads(t, "web", "/data/file", "one")

	var report api.PruneReport
	e.call(t, http.MethodPost, "/containers/web/revisions/prune", api.PruneRequest{}, &report)
	if len(report.Removed) == 0 {
		t.Errorf("pruned %+v", report)
	}
	if left := e.revisions(t, "web"); len(left)+len(report.Removed) < 4 || slices.ContainsFunc(left, func(r api.Revision) bool { return slices.Contains(report.Removed, r.Number) }) {
		t.Errorf("after %+v there are %+v", report, left)
	}
	e.docker(t, "rm", "-f", "-v", "web")
	e.settled(t, before)
}

// tellsTheTruth compares a container with a new one of the image that it is of.
func (e *env) tellsTheTruth(t *testing.T, name, image string) {
	t.Helper()
	fresh := e.docker(t, "create", "-e", "MINE=1", "--label", "mine=1", "-v", "vol:/vol", "-p", "8080", image)
	defer e.remove(t, fresh)
	for _, format := range []string{
		"{{.Image}}", "{{.Config.Image}}", "{{json .ImageManifestDescriptor}}", "{{.Path}} {{.Args}}",
		"{{json .Config.Cmd}}", "{{json .Config.Entrypoint}}", "{{json .Config.WorkingDir}}", "{{json .Config.Volumes}}", "{{json .Config.Labels}}", "{{json .Config.ExposedPorts}}",
	} {
		if got, want := e.inspect(t, name, format), e.inspect(t, fresh, format); got != want {
			t.Errorf("docker inspect -f '%s' %s says %s, want %s", format, name, got, want)
		}
	}
	got, want := strings.Fields(e.inspect(t, name, "{{join .Config.Env \" \"}}")), strings.Fields(e.inspect(t, fresh, "{{join .Config.Env \" \"}}"))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the environment of %s is %q, want %q", name, got, want)
	}
	if ps := e.docker(t, "ps", "-a", "--filter", "name="+name, "--format", "{{.Image}}"); ps != image {
		t.Errorf("docker ps says that %s is of %s, not %s", name, ps, image)
	}
}

// TestRevisionErrors: what is wrong with a request has a status of its own and
// a message that says it, and the container goes on as it was.
func TestRevisionErrors(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	e.app(t, "app:1", "")
	e.app(t, "app:2", "")
	e.start(t, "web", "app:1")
	e.start(t, "gone", "--rm", "app:1")
	e.start(t, "paused", "app:1")
	e.docker(t, "pause", "paused")
	was := e.inspect(t, "web", "{{json .State}} {{json .Config}}")
	before := e.state(t)
	const post = http.MethodPost
	for _, tc := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{post, "/containers/nobody/snapshot", "", 404, "nobody"},
		{post, "/containers/nobody/upgrade", `{"Image": "app:2"}`, 404, "nobody"},
		{post, "/containers/nobody/rollback", "", 404, "nobody"},
		{post, "/containers/nobody/revisions/prune", "", 404, "nobody"},
		{http.MethodGet, "/containers/nobody/revisions", "", 404, "nobody"},
		{http.MethodGet, "/containers/web/snapshot", "", 404, "page not found"},
		{post, "/containers/web/snapshot", `{"Massage": "x"}`, 400, "Massage"},
		{post, "/containers/web/snapshot", `{`, 400, "invalid JSON"},
		{post, "/containers/web/snapshot", `{} {}`, 400, "after JSON"},
		{post, "/containers/web/upgrade", "", 400, "no image"},
		{post, "/containers/web/upgrade", `{"Image": "app:2", "Policy": "kep"}`, 400, "kep"},
		{post, "/containers/web/upgrade", `{"Image": "app:2", "Paths": [{"Pattern": "/a[", "Policy": "keep"}]}`, 400, "/a["},
		{post, "/containers/web/upgrade", `{"Image": "app:2", "Paths": [{"Pattern": "a", "Policy": "keep"}]}`, 400, "slash"},
		{post, "/containers/web/upgrade", `{"Image": "app:2", "HealthTimeout": -1}`, 400, "-1"},
		{post, "/containers/web/upgrade", `{"Image": "app:3"}`, 404, "app:3"},
		{post, "/containers/web/upgrade", `{"Image": "app:3", "DryRun": true}`, 404, "app:3"},
		{post, "/containers/web/rollback", `{"Revision": -1}`, 400, "-1"},
		{post, "/containers/web/rollback", `{"Revision": 7}`, 404, "7"},
		{post, "/containers/web/rollback", `{"Policy": "no"}`, 400, "no"},
		{post, "/containers/web/revisions/prune", `{"Keep": -1}`, 400, "-1"},
		{post, "/containers/web/revisions/prune", `{"OlderThan": -5}`, 400, "-5ns"},
		{post, "/containers/gone/upgrade", `{"Image": "app:2"}`, 409, "--rm"},
		{post, "/containers/gone/rollback", "", 409, "--rm"},
		{post, "/containers/paused/upgrade", `{"Image": "app:2"}`, 409, "unpause"},
	} {
		for _, prefix := range []string{"", version} {
			status, answer := e.request(t, tc.method, prefix+tc.path, tc.body)
			var body struct{ Message string }
			if err := json.Unmarshal([]byte(answer), &body); err != nil {
				t.Errorf("%s %s %s: %v: %s", tc.method, tc.path, tc.body, err, answer)
			}
			if status != tc.status || !strings.Contains(body.Message, tc.message) {
				t.Errorf("%s %s %s: %d %s, want %d and %q", tc.method, tc.path, tc.body, status, answer, tc.status, tc.message)
			}
		}
	}
	if is := e.inspect(t, "web", "{{json .State}} {{json .Config}}"); is != was {
		t.Errorf("the container was\n%s\nand is\n%s", was, is)
	}
	if list := e.revisions(t, "web"); len(list) != 0 {
		t.Errorf("failed requests left revisions %+v", list)
	}
	e.settled(t, before)
}

// TestStockKnowsNoRevisions: the answer from which a client sees that the
// daemon is not ours.
func TestStockKnowsNoRevisions(t *testing.T) {
	e := newEnv(t, stack.Config{Flavor: stack.Stock}, "busybox")
	e.docker(t, "create", "--name", "web", "busybox", "true")
	for _, path := range []string{"snapshot", "upgrade", "rollback", "revisions/prune"} {
		if status, answer := e.post(t, "/containers/web/"+path); status != http.StatusNotFound || !strings.Contains(answer, "page not found") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

// TestRevisionsWithoutContainerd: on a graph driver the routes are there, and
// say what is missing.
func TestRevisionsWithoutContainerd(t *testing.T) {
	e := newEnv(t, stack.Config{StorageDriver: "overlay2"}, "busybox")
	e.docker(t, "create", "--name", "web", "busybox", "true")
	for _, path := range []string{"snapshot", "rollback", "revisions/prune"} {
		if status, answer := e.post(t, "/containers/web/"+path); status != http.StatusNotImplemented || !strings.Contains(answer, "containerd-snapshotter") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}
