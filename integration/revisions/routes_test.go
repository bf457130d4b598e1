package revisions_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// start creates a container of an app that runs until it is stopped.
func start(t *testing.T, e *harness.Env, name string, args ...string) {
	t.Helper()
	t.Cleanup(func() { e.Remove(t, name) })
	e.Must(t, append([]string{"run", "-d", "--name", name}, args...)...)
}

// TestRevisionRoutes goes through all routes with one container.
func TestRevisionRoutes(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "ENV FROM_IMAGE=1\n")
	e.BuildApp(t, "app:2", "ENV FROM_IMAGE=2\nWORKDIR /work\nRUN mkdir /cache && echo cached > /cache/x\nVOLUME /cache\n")
	e.Must(t, "network", "create", "net")
	e.Must(t, "volume", "create", "vol")
	before := e.State(t)
	start(t, e, "web", "--network", "net", "-p", "8080", "-v", "vol:/vol", "--restart", "on-failure:3", "--memory", "64m", "-e", "MINE=1", "--label", "mine=1", "app:1")
	e.Must(t, "exec", "web", "sh", "-c", "echo one > /data/file; echo kept > /vol/file")
	if list := e.Revisions(t, "web"); len(list) != 0 {
		t.Errorf("a new container has revisions %+v", list)
	}

	first := e.Snapshot(t, "web", "the first")
	if first.Number != 1 || first.Message != "the first" || first.Kind != api.KindSnapshot || first.Image != "app:1" || first.ImageID == "" {
		t.Errorf("the snapshot is %+v", first)
	}
	e.Must(t, "exec", "web", "sh", "-c", "echo two > /data/file")

	same := `{{.Id}} {{.Name}} {{.Created}} {{json .HostConfig}} {{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}{{.RestartCount}} {{range $p, $_ := .NetworkSettings.Ports}}{{$p}} {{end}}`
	was := e.Inspect(t, "web", same)
	plan, result := e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", Message: "to two"})
	if plan.From.Name != "app:1" || plan.To.Name != "app:2" || len(plan.Config) == 0 {
		t.Errorf("the plan is %+v", plan)
	}
	if !result.Started || result.RolledBack != "" || result.Revision.Image != "app:2" || result.Before.Image != "app:1" || !result.Revision.Current {
		t.Errorf("the result is %+v", result)
	}
	if is := e.Inspect(t, "web", same); is != was {
		t.Errorf("after the upgrade docker inspect says\n%s\nbefore it said\n%s", is, was)
	}
	e.MustRead(t, "web", "/version", "app:2")
	e.MustRead(t, "web", "/data/file", "two")
	e.MustRead(t, "web", "/vol/file", "kept")
	e.MustRead(t, "web", "/cache/x", "cached")
	tellsTheTruth(t, e, "web", "app:2")

	list := e.Revisions(t, "web")
	if n := len(list); n != 3 || !list[n-1].Current || list[n-1].Number != result.Revision.Number || list[0].Number != 1 {
		t.Errorf("the revisions are %+v", list)
	}
	_, result = e.Rollback(t, "web", api.RollbackRequest{Message: "back"})
	if !result.Started || result.Revision.Image != "app:1" || len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], "the volume at /cache came with an upgrade") {
		t.Errorf("the result of the rollback is %+v", result)
	}
	_, volume, _ := strings.Cut(result.Warnings[0], "kept in the volume ")
	if got := e.Must(t, "run", "--rm", "-v", volume+":/v", "busybox", "cat", "/v/x"); got != "cached" {
		t.Errorf("the volume of the upgrade has %q", got)
	}
	e.Must(t, "volume", "rm", volume)
	if _, err := e.Try(t, "exec", "web", "test", "-e", "/cache"); err == nil {
		t.Error("the rollback has left /cache")
	}
	e.MustRead(t, "web", "/version", "app:1")
	e.MustRead(t, "web", "/data/file", "two")
	tellsTheTruth(t, e, "web", "app:1")
	e.Rollback(t, "web", api.RollbackRequest{Revision: 1})
	e.MustRead(t, "web", "/data/file", "one")
	pruneByRoute(t, e)
	e.Must(t, "rm", "-f", "-v", "web")
	e.Settled(t, before)
}

func pruneByRoute(t *testing.T, e *harness.Env) {
	t.Helper()
	var report api.PruneReport
	e.Call(t, http.MethodPost, "/containers/web/revisions/prune", api.PruneRequest{}, &report)
	if len(report.Removed) == 0 {
		t.Errorf("pruned %+v", report)
	}
	if left := e.Revisions(t, "web"); len(left)+len(report.Removed) < 4 || slices.ContainsFunc(left, func(r api.Revision) bool { return slices.Contains(report.Removed, r.Number) }) {
		t.Errorf("after %+v there are %+v", report, left)
	}
}

// tellsTheTruth compares a container with a new one of the image that it is of.
func tellsTheTruth(t *testing.T, e *harness.Env, name, image string) {
	t.Helper()
	fresh := e.Must(t, "create", "-e", "MINE=1", "--label", "mine=1", "-v", "vol:/vol", "-p", "8080", image)
	defer e.Remove(t, fresh)
	for _, format := range []string{
		"{{.Image}}", "{{.Config.Image}}", "{{json .ImageManifestDescriptor}}", "{{.Path}} {{.Args}}",
		"{{json .Config.Cmd}}", "{{json .Config.Entrypoint}}", "{{json .Config.WorkingDir}}", "{{json .Config.Volumes}}", "{{json .Config.Labels}}", "{{json .Config.ExposedPorts}}",
	} {
		if got, want := e.Inspect(t, name, format), e.Inspect(t, fresh, format); got != want {
			t.Errorf("docker inspect -f '%s' %s says %s, want %s", format, name, got, want)
		}
	}
	got, want := strings.Fields(e.Inspect(t, name, "{{join .Config.Env \" \"}}")), strings.Fields(e.Inspect(t, fresh, "{{join .Config.Env \" \"}}"))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the environment of %s is %q, want %q", name, got, want)
	}
	if ps := e.Must(t, "ps", "-a", "--filter", "name="+name, "--format", "{{.Image}}"); ps != image {
		t.Errorf("docker ps says that %s is of %s, not %s", name, ps, image)
	}
}

// TestRevisionErrors: what is wrong with a request has a status of its own and
// a message that says it, and the container goes on as it was.
func TestRevisionErrors(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	start(t, e, "web", "app:1")
	start(t, e, "gone", "--rm", "app:1")
	start(t, e, "paused", "app:1")
	e.Must(t, "pause", "paused")
	was := e.Inspect(t, "web", "{{json .State}} {{json .Config}}")
	before := e.State(t)
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
		for _, prefix := range []string{"", harness.APIVersion} {
			status, answer := e.Request(t, tc.method, prefix+tc.path, tc.body)
			var body struct{ Message string }
			if err := json.Unmarshal([]byte(answer), &body); err != nil {
				t.Errorf("%s %s %s: %v: %s", tc.method, tc.path, tc.body, err, answer)
			}
			if status != tc.status || !strings.Contains(body.Message, tc.message) {
				t.Errorf("%s %s %s: %d %s, want %d and %q", tc.method, tc.path, tc.body, status, answer, tc.status, tc.message)
			}
		}
	}
	if is := e.Inspect(t, "web", "{{json .State}} {{json .Config}}"); is != was {
		t.Errorf("the container was\n%s\nand is\n%s", was, is)
	}
	if list := e.Revisions(t, "web"); len(list) != 0 {
		t.Errorf("failed requests left revisions %+v", list)
	}
	e.Settled(t, before)
}

// TestStockKnowsNoRevisions: the answer from which a client sees that the
// daemon is not ours.
func TestStockKnowsNoRevisions(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock}, "busybox")
	e.Must(t, "create", "--name", "web", "busybox", "true")
	for _, path := range []string{"snapshot", "upgrade", "rollback", "revisions/prune"} {
		if status, answer := e.Post(t, "/containers/web/"+path); status != http.StatusNotFound || !strings.Contains(answer, "page not found") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

// TestRevisionsWithoutContainerd: on a graph driver the routes are there, and
// say what is missing.
func TestRevisionsWithoutContainerd(t *testing.T) {
	e := harness.Start(t, stack.Config{StorageDriver: "overlay2"}, "busybox")
	e.Must(t, "create", "--name", "web", "busybox", "true")
	for _, path := range []string{"snapshot", "rollback", "revisions/prune"} {
		if status, answer := e.Post(t, "/containers/web/"+path); status != http.StatusNotImplemented || !strings.Contains(answer, "containerd-snapshotter") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}
