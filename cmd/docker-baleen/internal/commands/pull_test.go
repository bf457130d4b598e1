package commands_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
)

// inspected is a container as Docker's API shows it.
func inspected(image, name string) answer {
	return answer{http.StatusOK, map[string]any{
		"Id": "c1", "Name": "/web", "Image": image, "Config": map[string]any{"Image": name},
		"ImageManifestDescriptor": map[string]any{"platform": map[string]any{"os": "linux", "architecture": "arm64", "variant": "v8"}},
	}}
}

// TestUpgradeFollowsTheName: without an image an upgrade goes to the one that the
// container's name of an image means, and does nothing if the container stands on that.
func TestUpgradeFollowsTheName(t *testing.T) {
	done := stream(t, api.Progress{Result: &api.Result{Revision: api.Revision{Number: 5, Image: "app:1"}, Started: true}})
	pulled := answer{http.StatusOK, `{"status":"Pulling from app"}` + "\n"}
	const (
		inspect = "GET /containers/web/json"
		look    = "GET /images/app:1/json"
		fetch   = "POST /images/create"
		upgrade = `POST /containers/web/upgrade {}`
		list    = "GET /containers/web/revisions"
	)
	for _, test := range []struct {
		args, on, tag string
		asked         []string
		stdout        string
	}{
		{"", oldID, newID, []string{inspect, look, upgrade}, "web is on revision 5, app:1, and runs.\n"},
		{"--pull", oldID, newID, []string{inspect, fetch, look, upgrade}, "web is on revision 5, app:1, and runs.\n"},
		{"app:2 --pull", oldID, newID, []string{inspect, fetch, `POST /containers/web/upgrade {"Image":"app:2"}`}, "web is on revision 5, app:1, and runs.\n"},
		{"", oldID, oldID, []string{inspect, look, list}, "web stands on its image's newest version already: nothing to do.\n"},
		{"-q --pull", oldID, oldID, []string{inspect, fetch, look, list}, "12\n"},
		{"--format {{.Revision.Number}}", oldID, oldID, []string{inspect, look, list}, "12\n"},
	} {
		o := run(t, map[string]answer{
			inspect: inspected(test.on, "app:1"),
			look:    {http.StatusOK, map[string]any{"Id": test.tag}},
			fetch:   pulled,
			list:    {http.StatusOK, history()},

			"POST /containers/web/upgrade": done,
		}, append([]string{"upgrade", "web"}, strings.Fields(test.args)...)...)
		if o.err != nil {
			t.Errorf("%s: %v", test.args, o.err)
		}
		same(t, "the output of "+test.args, o.stdout, test.stdout)
		same(t, "the requests of "+test.args, strings.Join(o.requests, "\n"), strings.Join(test.asked, "\n"))
		if told := strings.Contains(o.stderr, "Pulling from app"); told != (strings.Contains(test.args, "--pull") && !strings.Contains(test.args, "-q")) {
			t.Errorf("%s: the progress is %q", test.args, o.stderr)
		}
	}
}

// TestPullThatFails: nothing is upgraded.
func TestPullThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		image  string
		pulled answer
		want   string
	}{
		"refused":      {"app:1", refuse(http.StatusNotFound, "no such repository"), "no such repository"},
		"in the midst": {"app:1", answer{http.StatusOK, `{"status":"Pulling"}` + "\n" + `{"errorDetail":{"message":"no space"},"error":"no space"}` + "\n"}, "pull docker.io/library/app:1: no space"},
		"an id":        {oldID, answer{http.StatusOK, ""}, "say which image to pull"},
	} {
		o := run(t, map[string]answer{"GET /containers/web/json": inspected(oldID, test.image), "POST /images/create": test.pulled}, "upgrade", "--pull", "-q", "web")
		if o.err == nil || !strings.Contains(o.err.Error(), test.want) || strings.Contains(strings.Join(o.requests, "\n"), "/upgrade") {
			t.Errorf("%s: %v, requests %q", name, o.err, o.requests)
		}
	}
}
