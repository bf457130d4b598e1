package commands_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/cli/cli"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/compose"
)

// shop is a project of three services, whose containers are asked for by their ids: web needs cache, cache needs db, and web stands on
// an image by another name than its service's. A fourth container is of a `compose run`.
func shop(t *testing.T, answers map[string]answer) map[string]answer {
	t.Helper()
	var list []map[string]any
	for service, needs := range map[string]string{"db": "", "cache": "db:service_healthy:false", "web": "cache:service_started:false", "once": ""} {
		labels := map[string]string{compose.LabelProject: "shop", compose.LabelService: service, compose.LabelDependsOn: needs, compose.LabelNumber: "1"}
		switch service {
		case "once":
			labels[compose.LabelOneoff] = "True"
		case "web":
			labels[compose.LabelImageName] = "web:latest"
		}
		name := "shop-" + service + "-1"
		list = append(list, map[string]any{"Id": service, "Names": []string{"/other/" + service, "/" + name}, "Labels": labels})
		answers["GET /containers/"+service+"/json"] = answer{http.StatusOK, map[string]any{
			"Id": service, "Name": "/" + name, "Image": oldID, "Config": map[string]any{"Image": service + ":latest"},
		}}
		tag := newID
		if service == "cache" {
			tag = oldID // there is no newer one
		}
		answers["GET /images/"+service+":latest/json"] = answer{http.StatusOK, map[string]any{"Id": tag}}
	}
	answers["GET /containers/json"] = answer{http.StatusOK, list}
	answers["GET /containers/cache/revisions"] = answer{http.StatusOK, "[]"}
	return answers
}

func TestUpgradeOfAProject(t *testing.T) {
	up := func(before int) answer {
		return stream(t, api.Progress{Result: &api.Result{Revision: api.Revision{Number: before + 1, Image: "new"}, Before: api.Revision{Number: before}, Started: true}})
	}
	down := stream(t, api.Progress{Result: &api.Result{Revision: api.Revision{Number: 8}, Before: api.Revision{Number: 9}, RolledBack: "it exited"}})
	unseen := stream(t, api.Progress{Result: &api.Result{Revision: api.Revision{Number: 6}, Before: api.Revision{Number: 5}, Unseen: "it was stopped"}})
	const (
		db  = "POST /containers/db/upgrade {}"
		web = `POST /containers/web/upgrade {"Image":"web:latest"}`
	)
	back := func(r api.RollbackRequest) string {
		return fmt.Sprintf(`POST /containers/db/rollback {"Revision":%d,"Message":%q}`, r.Revision, r.Message)
	}(api.RollbackRequest{Revision: 5, Message: "taken back: shop-web-1 was not upgraded"})
	for name, test := range map[string]struct {
		args    string
		db, web answer
		asked   []string
		status  int
		text    string
	}{
		"all":                         {"", up(5), up(8), []string{db, web}, 0, ""},
		"some":                        {" web", up(5), up(8), []string{web}, 0, ""},
		"one comes not up":            {"", up(5), down, []string{db, web, back}, 3, "Taken back as well: shop-db-1."},
		"one cannot be":               {"", up(5), refuse(http.StatusConflict, "it is paused"), []string{db, web, back}, 1, "it is paused\n"},
		"the first":                   {"", down, up(8), []string{db}, 3, "shop-db-1 did not come up"},
		"one is not seen":             {"", unseen, up(8), []string{db, web}, 4, "shop-db-1 was moved, but nobody knows"},
		"a service that is not there": {" web gone", up(5), up(8), nil, 1, "the project shop has no container of the service gone"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, shop(t, map[string]answer{
				"POST /containers/db/upgrade": test.db, "POST /containers/web/upgrade": test.web, "POST /containers/db/rollback": up(6),
			}), strings.Fields("upgrade --compose-project shop"+test.args)...)
			var asked []string
			for _, r := range o.requests {
				if strings.HasPrefix(r, "POST ") {
					asked = append(asked, r)
				}
			}
			same(t, "the requests", strings.Join(asked, "\n"), strings.Join(test.asked, "\n"))
			if test.status == 0 != (o.err == nil) {
				t.Fatalf("the error is %v", o.err)
			}
			status := 1
			if e := (cli.StatusError{}); errors.As(o.err, &e) {
				status = e.StatusCode
			}
			if test.status != 0 && (status != test.status || !strings.Contains(o.err.Error(), test.text)) {
				t.Errorf("exit status %d: %v", status, o.err)
			}
			if current := "shop-cache-1 stands on its image's newest version already"; test.args == "" != strings.Contains(o.stdout, current) {
				t.Errorf("the output is %q", o.stdout)
			}
		})
	}
}

// TestInterruptedTakeBack: whoever interrupts it learns how to take back the rest.
func TestInterruptedTakeBack(t *testing.T) {
	up := stream(t, api.Progress{Result: &api.Result{Before: api.Revision{Number: 5}, Started: true}})
	answers := shop(t, map[string]answer{
		"POST /containers/db/upgrade": up, "POST /containers/cache/upgrade": up, "POST /containers/web/upgrade": refuse(http.StatusConflict, "it is paused"),
	})
	answers["GET /images/cache:latest/json"] = answer{http.StatusOK, map[string]any{"Id": newID}}
	d := &daemon{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/containers/cache/rollback") {
			d.ServeHTTP(w, r)
			return
		}
		// The server sees that the client has gone when it has read the body.
		_, err := io.Copy(io.Discard, r.Body)
		if err := errors.Join(err, syscall.Kill(syscall.Getpid(), syscall.SIGTERM)); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	o := d.run(t, on(server), "upgrade", "--compose-project", "shop")
	const hint = "Not taken back: shop-cache-1, shop-db-1. To do that: docker baleen rollback shop-cache-1 5; docker baleen rollback shop-db-1 5"
	if statusOf(o.err) != 130 || !strings.Contains(o.err.Error(), "it is paused") || !strings.HasSuffix(o.err.Error(), hint) {
		t.Errorf("exit status %d: %v", statusOf(o.err), o.err)
	}
}

// TestPullOfAProject: what Compose built for a service is not pulled, or used as it is if no
// registry has it; other images must be there.
func TestPullOfAProject(t *testing.T) {
	labels := func(project, service string) map[string]any {
		return map[string]any{"Labels": map[string]string{compose.LabelProject: project, compose.LabelService: service}}
	}
	const pull = "POST /images/create"
	for name, test := range map[string]struct {
		image  string
		config map[string]any
		pulled answer
		pulls  int
		fails  bool
		stderr string
	}{
		"built":                        {"shop-db", labels("shop", "db"), refuse(http.StatusNotFound, "no such repository"), 0, false, "shop-db-1: Compose built the image shop-db, which is used as it is here"},
		"built by a name of its own":   {"example.com/db", labels("shop", "db"), refuse(http.StatusNotFound, "no such repository"), 1, false, "example.com/db cannot be pulled"},
		"built, and in a registry":     {"example.com/db", labels("shop", "db"), answer{http.StatusOK, ""}, 1, false, ""},
		"built, and the registry lame": {"example.com/db", labels("shop", "db"), refuse(http.StatusInternalServerError, "timeout"), 1, true, ""},
		"built for another project":    {"shop-db", labels("other", "db"), refuse(http.StatusNotFound, "no such repository"), 1, true, ""},
		"not built":                    {"shop-db", nil, refuse(http.StatusNotFound, "no such repository"), 1, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answers := shop(t, map[string]answer{
				"POST /containers/db/upgrade": stream(t, api.Progress{Result: &api.Result{Revision: api.Revision{Number: 6}, Started: true}}), pull: test.pulled,
			})
			answers["GET /containers/db/json"] = answer{http.StatusOK, map[string]any{"Id": "db", "Image": oldID, "Config": map[string]any{"Image": test.image}}}
			answers["GET /images/"+test.image+"/json"] = answer{http.StatusOK, map[string]any{"Id": newID, "Config": test.config}}
			o := run(t, answers, "upgrade", "--pull", "--compose-project", "shop", "db")
			asked := strings.Join(o.requests, "\n")
			if upgraded := strings.Contains(asked, "/upgrade"); upgraded == test.fails || test.fails != (o.err != nil) || strings.Count(asked, pull) != test.pulls {
				t.Errorf("the error is %v, the requests are\n%s", o.err, asked)
			}
			if test.stderr != "" && !strings.Contains(o.stderr, test.stderr) {
				t.Errorf("it says %q", o.stderr)
			}
		})
	}
}

// A program gets a plan of each container, also of those that are to stay.
func TestDryRunOfAProject(t *testing.T) {
	answers := shop(t, map[string]answer{})
	for _, service := range []string{"db", "cache", "web"} {
		answers["POST /containers/"+service+"/upgrade"] = stream(t, api.Progress{Plan: &api.Plan{Kept: 7}}, api.Progress{Result: &api.Result{}})
	}
	o := run(t, answers, "upgrade", "--compose-project", "shop", "--dry-run", "--format", "{{.Kept}}")
	if o.err != nil {
		t.Fatal(o.err)
	}
	same(t, "the output", o.stdout, "7\n7\n7\n")
}

func TestUpgradeOfAProjectThatIsNotThere(t *testing.T) {
	o := run(t, map[string]answer{"GET /containers/json": {http.StatusOK, "[]"}}, "upgrade", "--compose-project", "shop")
	if o.err == nil || !strings.Contains(o.err.Error(), "no container belongs to a project shop") {
		t.Errorf("the error is %v", o.err)
	}
}
