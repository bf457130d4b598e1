package commands_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli"

	"github.com/baleen-project/baleen/compat/api"
)

const (
	oldID = "sha256:1111111111112222222222223333333333334444444444445555555555556666"
	newID = "sha256:aaaaaaaaaaaabbbbbbbbbbbbccccccccccccddddddddddddeeeeeeeeeeeeffff"
)

func history() []api.Revision {
	return []api.Revision{
		{Number: 1, Created: time.Now().Add(-49 * time.Hour), Message: "first\nstart", Kind: api.KindSnapshot, Image: "app:1", ImageID: oldID, Size: 1234567},
		{Number: 12, Created: time.Now().Add(-3 * time.Minute), Kind: api.KindUpgrade, Image: newID, ImageID: newID, Previous: 1, Size: 12, Current: true},
		{Number: 3, Created: time.Now().Add(-2 * time.Hour), Message: strings.Repeat("long ", 20), Kind: api.KindBefore, Image: "app:1", ImageID: oldID, Previous: 1},
	}
}

func TestRevisions(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"table": {nil, "" +
			"REVISION   IMAGE          MESSAGE                                    CREATED         SIZE      STATE\n" +
			"12         aaaaaaaaaaaa                                              3 minutes ago   12B       current\n" +
			"3          app:1          long long long long long long long long…   2 hours ago     0B        \n" +
			"1          app:1          first start                                2 days ago      1.23MB    \n"},
		"quiet":    {[]string{"-q"}, "12\n3\n1\n"},
		"template": {[]string{"--format", "{{.Number}} {{.Kind}} {{.Previous}} {{.Current}}"}, "12 upgrade 1 true\n3 before 1 false\n1 snapshot  false\n"},
		"table of a template": {[]string{"--format", `table {{.Number}}\t{{.ImageID}}`}, "" +
			"REVISION   IMAGE ID\n12         aaaaaaaaaaaa\n3          111111111111\n1          111111111111\n"},
		"whole": {[]string{"--no-trunc", "--format", "{{.ImageID}} {{.Message}}"}, "" +
			newID + " \n" + oldID + " " + strings.TrimSpace(strings.Repeat("long ", 20)) + "\n" + oldID + " first start\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, map[string]answer{"GET /containers/web/revisions": {http.StatusOK, history()}},
				append([]string{"revisions", "web"}, test.args...)...)
			if o.err != nil {
				t.Fatal(o.err)
			}
			same(t, "the list", o.stdout, test.want)
		})
	}
}

func TestRevisionOfUnknownSize(t *testing.T) {
	list := history()[:1]
	list[0].Size = -1
	o := run(t, map[string]answer{"GET /containers/web/revisions": {http.StatusOK, list}}, "revisions", "--format", "{{.Size}}", "web")
	same(t, "the size", o.stdout, "N/A\n")
}

func TestRevisionsAsJSON(t *testing.T) {
	told := history()
	told[0].Message = hostileText + strings.Repeat("long ", 20) + "\U000e0001<&>"
	for _, format := range []string{"json", "{{json .}}"} {
		d := &daemon{terminal: true, answers: map[string]answer{"GET /containers/web/revisions": {http.StatusOK, told}}}
		server := httptest.NewServer(d)
		o := d.run(t, on(server), "revisions", "--format", format, "web")
		server.Close()
		harmless(t, "the list", o.stdout)
		var got []api.Revision
		for dec := json.NewDecoder(strings.NewReader(o.stdout)); dec.More(); {
			var r api.Revision
			if err := dec.Decode(&r); err != nil {
				t.Fatalf("%v: %s", err, o.stdout)
			}
			got = append(got, r)
		}
		want := slices.Clone(told)
		slices.SortFunc(want, func(a, b api.Revision) int { return b.Number - a.Number })
		for i := range want {
			want[i].Created = want[i].Created.Round(0)
		}
		same := func(a, b api.Revision) bool {
			equal := a.Created.Equal(b.Created)
			a.Created = b.Created
			return equal && a == b
		}
		if o.err != nil || !slices.EqualFunc(got, want, same) {
			t.Errorf("%s gives %+v, want %+v (%v)", format, got, want, o.err)
		}
	}
}

func TestSnapshot(t *testing.T) {
	answers := map[string]answer{"POST /containers/web/snapshot": {http.StatusCreated, api.Revision{Number: 7, Size: 4096, Image: "app:1"}}}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"plain":    {nil, "Kept web as revision 7, 4.1kB.\n"},
		"quiet":    {[]string{"-q"}, "7\n"},
		"template": {[]string{"--format", `{{.Number}}\t{{.Image}}`}, "7\tapp:1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, answers, append([]string{"snapshot", "-m", "why", "web"}, test.args...)...)
			if o.err != nil {
				t.Fatal(o.err)
			}
			same(t, "the output", o.stdout, test.want)
			same(t, "the request", strings.Join(o.requests, "\n"), `POST /containers/web/snapshot {"Message":"why"}`)
		})
	}
}

func TestPrune(t *testing.T) {
	answers := map[string]answer{"POST /containers/web/revisions/prune": {http.StatusOK, api.PruneReport{Removed: []int{1, 3}, SpaceReclaimed: 2500000, SpaceHeld: 1200}}}
	for name, test := range map[string]struct {
		args          []string
		request, want string
	}{
		"all":      {nil, `{}`, "Removed revision 1\nRemoved revision 3\nTotal reclaimed space: 2.5MB\nStill in use: 1.2kB of the removed revisions, by the container or by revisions that stay\n"},
		"limits":   {[]string{"--keep", "2", "--older-than", "1s"}, `{"Keep":2,"OlderThan":1000000000}`, "Removed revision 1\nRemoved revision 3\nTotal reclaimed space: 2.5MB\nStill in use: 1.2kB of the removed revisions, by the container or by revisions that stay\n"},
		"quiet":    {[]string{"-q"}, `{}`, "1\n3\n"},
		"template": {[]string{"--format", "{{.SpaceReclaimed}}"}, `{}`, "2500000\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, answers, append([]string{"prune", "web"}, test.args...)...)
			if o.err != nil {
				t.Fatal(o.err)
			}
			same(t, "the output", o.stdout, test.want)
			same(t, "the request", strings.Join(o.requests, "\n"), "POST /containers/web/revisions/prune "+test.request)
		})
	}
}

// A person is asked before all revisions go, unless they have said how many.
func TestPruneAsks(t *testing.T) {
	for _, test := range []struct {
		args, typed   string
		asked, pruned bool
	}{
		{"", "y\n", true, true},
		{"", "Yes\n", true, true},
		{"", "\n", true, false},
		{"", "n\n", true, false},
		{"", "", true, false},
		{"--force", "", false, true},
		{"--keep 1", "", false, true},
		{"--older-than 1h", "", false, true},
	} {
		d := &daemon{terminal: true, typed: test.typed, answers: map[string]answer{
			"POST /containers/web/revisions/prune": {http.StatusOK, api.PruneReport{}},
		}}
		server := httptest.NewServer(d)
		o := d.run(t, on(server), strings.Fields("prune web "+test.args)...)
		server.Close()
		if asked := strings.Contains(o.stdout, "Go on? [y/N]"); o.err != nil || asked != test.asked || (len(o.requests) > 0) != test.pruned {
			t.Errorf("%s, typed %q: asked %v, requests %q, error %v", test.args, test.typed, asked, o.requests, o.err)
		}
	}
}

// What is wrong with a command line is said before the daemon is asked.
func TestMistakes(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"snapshot", "requires 1 argument"},
		{"upgrade", "requires at least 1"},
		{"upgrade web app:2 --policy theirs", `"theirs" is not keep, image or fail`},
		{"upgrade web app:2 --policy keep --policy image", "the policy for all paths is keep already"},
		{"upgrade web app:2 --policy etc=image", `"etc" does not begin with /`},
		{"upgrade web app:2 --policy /[=image", "syntax error in pattern"},
		{"upgrade web app:2 --health-timeout -1s", "--health-timeout cannot be less than 0"},
		{"upgrade web app:2 --format {{", "parse --format"},
		{"rollback", "requires at least 1"},
		{"rollback web last", `"last" is not the number of a revision`},
		{"rollback web 0", `"0" is not the number of a revision`},
		{"prune web --keep -1", "cannot be less than 0"},
		{"prune web --format {{", "parse --format"},
		{"snapshot web --format {{", "parse --format"},
		{"snapshot a/b", "invalid container name"},
		{"squash web", "unknown command"},
	} {
		o := run(t, nil, strings.Fields(test.args)...)
		if o.err == nil || !strings.Contains(o.err.Error(), test.want) {
			t.Errorf("%s: %v, not %q", test.args, o.err, test.want)
		}
		if len(o.requests) > 0 {
			t.Errorf("%s: the daemon was asked %q", test.args, o.requests)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		answer answer
		want   string
	}{
		"not Baleen":          {refuse(http.StatusNotFound, "page not found"), "is not Baleen's: it keeps no revisions of containers"},
		"no such container":   {refuse(http.StatusNotFound, "No such container: web"), "Error response from daemon: No such container: web"},
		"conflict":            {refuse(http.StatusConflict, "container web: an upgrade is under way"), "Error response from daemon: container web: an upgrade is under way"},
		"a proxy's own words": {answer{http.StatusBadGateway, "<html>no</html>"}, "Error response from daemon: <html>no</html>"},
		"nothing at all":      {answer{http.StatusInternalServerError, ""}, "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			for verb, args := range map[string]string{
				"POST /containers/web/snapshot":        "snapshot web",
				"POST /containers/web/upgrade":         "upgrade web app:2",
				"POST /containers/web/rollback":        "rollback web",
				"POST /containers/web/revisions/prune": "prune web",
				"GET /containers/web/revisions":        "revisions web",
			} {
				o := run(t, map[string]answer{verb: test.answer}, strings.Fields(args)...)
				if o.err == nil || !strings.Contains(o.err.Error(), test.want) || o.stdout != "" {
					t.Errorf("%s: %v and %q, not %q", args, o.err, o.stdout, test.want)
				}
			}
		})
	}
}

// statusOf is the exit status that an error means to Docker's CLI.
func statusOf(err error) int {
	var status cli.StatusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return status.StatusCode
	}
	return 1
}

func TestCompletion(t *testing.T) {
	answers := map[string]answer{
		"GET /containers/json":          {http.StatusOK, []map[string]any{{"Id": "1", "Names": []string{"/web"}}, {"Id": "2", "Names": []string{"/db"}}}},
		"GET /images/json":              {http.StatusOK, []map[string]any{{"Id": newID, "RepoTags": []string{"app:1", "app:2"}}}},
		"GET /containers/web/revisions": {http.StatusOK, history()},
	}
	revisions := []string{
		"12\taaaaaaaaaaaa, 3 minutes ago",
		"3\tapp:1, 2 hours ago: long long long long long long long long…",
		"1\tapp:1, 2 days ago: first start",
	}
	for _, test := range []struct {
		args string
		want []string
	}{
		{"snapshot .", []string{"web", "db"}},
		{"upgrade .", []string{"web", "db"}},
		{"upgrade web .", []string{"app:1", "app:2"}},
		{"upgrade web app:2 .", nil},
		{"rollback .", []string{"web", "db"}},
		{"rollback web .", revisions},
		{"rollback web 3 .", nil},
		{"revisions .", []string{"web", "db"}},
		{"prune .", []string{"web", "db"}},
		{"checkpoint .", []string{"web", "db"}},
		{"checkpoint web .", nil},
		{"restore .", []string{"app:1", "app:2"}},
		{"upgrade --policy .", []string{"keep", "image", "fail"}},
		{"revisions --format .", []string{"table", "json"}},
		{"upgrade --format .", []string{"json"}},
		{"prune --keep .", nil},
	} {
		args := strings.Fields("__complete " + test.args)
		args[len(args)-1] = "" // the word at the cursor
		o := run(t, answers, args...)
		got := strings.Split(strings.TrimSuffix(o.stdout, "\n"), "\n")
		if o.err != nil || !slices.Equal(got[:len(got)-1], test.want) {
			t.Errorf("%s: %q, not %q (%v)", test.args, got, test.want, o.err)
		}
	}
}

func TestCompletionWithoutAnAnswer(t *testing.T) {
	o := run(t, nil, "__complete", "rollback", "web", "")
	if !strings.HasPrefix(o.stdout, ":1\n") {
		t.Errorf("the shell is told %q", o.stdout)
	}
}
