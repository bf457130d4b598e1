package revisions_test

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/pkg/authorization"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// authorizer is an authorization plugin that forbids snapshots.
type authorizer struct {
	mu   sync.Mutex
	seen []string // method, path and body of requests about revisions
}

func (a *authorizer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any = authorization.Response{Allow: true}
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "Plugin.Activate":
		answer = map[string][]string{"Implements": {authorization.AuthZApiImplements}}
	case authorization.AuthZApiRequest:
		var asked authorization.Request
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			answer = authorization.Response{Err: err.Error()}
			break
		}
		if strings.Contains(asked.RequestURI, "/containers/web/") && asked.RequestMethod == http.MethodPost {
			a.mu.Lock()
			a.seen = append(a.seen, asked.RequestURI+" "+string(asked.RequestBody))
			a.mu.Unlock()
		}
		if strings.HasSuffix(asked.RequestURI, "/snapshot") {
			answer = authorization.Response{Msg: "no snapshots here"}
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// TestAuthorizationPluginsSeeRevisionRoutes: the routes are Moby's, with all
// that stands before them.
func TestAuthorizationPluginsSeeRevisionRoutes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "authz.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &authorizer{}
	plugin := &http.Server{Handler: a}
	go func() { _ = plugin.Serve(listener) }()
	t.Cleanup(func() { _ = plugin.Close() })
	e := harness.Start(t, stack.Config{
		Etc:         map[string]string{"docker/plugins/authz.spec": "unix://" + socket},
		DockerdArgs: []string{"--authorization-plugin", "authz"},
	}, "busybox")
	e.Must(t, "create", "--name", "web", "busybox", "true")
	t.Cleanup(func() { e.Remove(t, "web") })

	status, answer := e.Request(t, http.MethodPost, "/containers/web/snapshot", `{"Message": "x"}`)
	if status != http.StatusForbidden || !strings.Contains(answer, "no snapshots here") {
		t.Errorf("a forbidden snapshot: %d %s", status, answer)
	}
	if plan, _ := e.Upgrade(t, "web", api.UpgradeRequest{Image: "busybox", DryRun: true}); plan.To.Name != "busybox" {
		t.Errorf("the plan is %+v", plan)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	want := []string{
		`/containers/web/snapshot {"Message": "x"}`,
		harness.APIVersion + `/containers/web/upgrade {"Image":"busybox","DryRun":true}`,
	}
	if !slices.Equal(a.seen, want) {
		t.Errorf("the plugin saw %q, want %q", a.seen, want)
	}
}
