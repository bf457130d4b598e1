package commands_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
)

var (
	fromImage = api.Image{Name: "app:1", ID: oldID}
	toImage   = api.Image{Name: "app:2", ID: newID}
)

func fullPlan() *api.Plan {
	return &api.Plan{
		From: fromImage, To: toImage, Kept: 1234, There: 5, FromImage: 2, ConflictCount: 46,
		Conflicts: []api.Conflict{
			{Path: "/etc/app.conf", Container: "modified", Image: "modified", Winner: "image"},
			{Path: "/etc/ld.so.cache", Container: "modified", Image: "deleted", Class: "linker cache", Winner: "container"},
			{Path: "/var/lib/dpkg/status", Container: "modified", Image: "modified", Class: "package database", Winner: "container"},
			{Path: "/srv/a\nb", Container: "deleted", Image: "modified"},
			{Path: "/etc/passwd", Container: "modified", Image: "modified", Class: "accounts", Winner: "container", Lines: []string{"id 33: app (line 3 of the container's), web (line 3 of the image's)", "b\x1b[2J"}},
		},
		Config: []api.ConfigChange{
			{Field: "Cmd", Old: `["app"]`, New: `["app","-v"]`},
			{Field: "Env PATH", Old: "/bin", New: "/app/bin:/bin"},
			{Field: "Env MODE", Old: "mine", New: "theirs", Kept: true},
			{Field: "WorkingDir", Old: "", New: "/app"},
		},
		Whole:      []api.Whole{{Path: "/var/lib/postgresql", Files: 969, Untouched: 930, Bytes: 39_200_000}, {Path: "/opt/a\nb", Files: 1}},
		WholeCount: 3,
		Warnings:   []string{"2 files will go from /srv/d\x1b[2J"},
	}
}

const fullPlanText = `Plan for web (nothing has been done)

Image
  app:1 (111111111111) -> app:2 (aaaaaaaaaaaa)

Files
  1234 of the container stay
     5 of the container are in the image as well
     2 of the container give way to the image's

Kept whole, as the container has it
  /var/lib/postgresql  969 files, 39.2MB  930 of them not touched by the container
  "/opt/a\nb"          1 file, 0B         0 of them not touched by the container
  and 1 more

Configuration
  Cmd         ["app"] -> ["app","-v"]
  Env PATH    /bin -> /app/bin:/bin
  Env MODE    mine stays, as you set it (the image has theirs)
  WorkingDir  (none) -> /app

WARNING: 2 files will go from /srv/d\x1b[2J

46 conflicts: changed by the container and by the image
  PATH                   CONTAINER   IMAGE      WINNER        CLASS
  /etc/app.conf          modified    modified   image         
  /etc/ld.so.cache       modified    deleted    container     linker cache
  /var/lib/dpkg/status   modified    modified   container     package database
  "/srv/a\nb"            deleted     modified   none: fails   
  /etc/passwd            modified    modified   container     accounts
  and 41 more
  in /etc/passwd: id 33: app (line 3 of the container's), web (line 3 of the image's)
  in /etc/passwd: "b\x1b[2J"
  HINT: The package database stays the container's: it does not know what the new image
  installed or updated. Bring it up to date in the container with its package manager,
  or let the image win: --policy '/var/lib/dpkg/status=image'
  HINT: Of the users and groups in conflict only the container's are there. Programs of the
  new image may miss theirs. To have the image's: --policy '/etc/passwd=image'
  HINT: The linker cache stays the container's: run ldconfig in the container if programs
  of the new image do not find their libraries.

`

const emptyPlanText = `Plan for web (nothing has been done)

Image
  app:1 (111111111111) -> app:2 (aaaaaaaaaaaa)

Files
  none of the container move along

No conflicts
`

func TestPlan(t *testing.T) {
	for name, test := range map[string]struct {
		messages []any
		args     string
		want     string
	}{
		"full":                {[]any{api.Progress{Status: "comparing"}, api.Progress{Plan: fullPlan()}}, "", fullPlanText},
		"nothing in it":       {[]any{api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}}}, "", emptyPlanText},
		"then a status":       {[]any{api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}}, api.Progress{Status: "done"}}, "", emptyPlanText},
		"then a result":       {[]any{api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}}, api.Progress{Result: &api.Result{}}}, "", emptyPlanText},
		"with the result":     {[]any{api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}, Result: &api.Result{}}}, "", emptyPlanText},
		"in one's own words":  {[]any{api.Progress{Plan: fullPlan()}}, "--format {{.Kept}}", "1234\n"},
		"for a program":       {[]any{api.Progress{Plan: &api.Plan{}}}, "--format json", `{"From":{"Name":"","ID":""},"To":{"Name":"","ID":""},"Kept":0,"There":0,"FromImage":0,"Conflicts":null,"ConflictCount":0,"Config":null}` + "\n"},
		"quiet shows it, too": {[]any{api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}}}, "-q", emptyPlanText},
	} {
		t.Run(name, func(t *testing.T) {
			for verb, args := range map[string]string{"upgrade": "upgrade web app:2", "rollback": "rollback web"} {
				answers := map[string]answer{"POST /containers/web/" + verb: stream(t, test.messages...)}
				o := run(t, answers, strings.Fields(args+" --dry-run "+test.args)...)
				if o.err != nil {
					t.Fatal(o.err)
				}
				same(t, "the plan", o.stdout, test.want)
				if !strings.Contains(o.requests[0], `"DryRun":true`) {
					t.Errorf("the request is %s", o.requests[0])
				}
			}
		})
	}
}

// A dry run of what would fail ends as that would, with the plan.
func TestPlanThatFails(t *testing.T) {
	plan := fullPlan()
	plan.FailCount = 1
	for args, want := range map[string]string{"": fullPlanText, "--format {{.FailCount}}": "1\n"} {
		o := run(t, map[string]answer{"POST /containers/web/upgrade": stream(t, api.Progress{Plan: plan})},
			strings.Fields("upgrade web app:2 --dry-run --policy fail "+args)...)
		if statusOf(o.err) != 1 || o.err.Error() != "without --dry-run this would fail: the policy is fail for 1 conflict" {
			t.Errorf("exit status %d: %v", statusOf(o.err), o.err)
		}
		same(t, "the plan", o.stdout, want)
	}
}

func TestUpgrade(t *testing.T) {
	done := api.Result{
		Revision: api.Revision{Number: 5, Image: "app:2", ImageID: newID},
		Before:   api.Revision{Number: 4, Image: "app:1", ImageID: oldID},
		Started:  true,
		Warnings: []string{"/big is sparse"},
	}
	plan := &api.Plan{From: fromImage, To: toImage, ConflictCount: 1, Conflicts: []api.Conflict{
		{Path: "/etc/app.conf", Container: "modified", Image: "modified", Winner: "container"},
	}}
	messages := []any{
		api.Progress{Status: "stopping the container"},
		api.Progress{Plan: plan},
		api.Progress{Status: "merging\n\x1b[2Jthe files"},
		api.Progress{Result: &done},
	}
	const steps = "stopping the container\nmerging \\x1b[2Jthe files\nWARNING: /big is sparse\n"
	const warnings = "WARNING: /big is sparse\nWARNING: /etc/app.conf: changed by the container and by the image\n"
	for name, test := range map[string]struct{ args, stdout, stderr string }{
		"pipe": {"", "1 conflict: changed by the container and by the image\n" +
			"  PATH            CONTAINER   IMAGE      WINNER      CLASS\n" +
			"  /etc/app.conf   modified    modified   container   \n\n" +
			"web is on revision 5, app:2, and runs.\n" +
			"To go back: docker baleen rollback web 4\n", steps},
		"quiet":    {"-q", "5\n", warnings},
		"template": {"--format {{.Revision.Number}}<{{.Before.Number}}", "5<4\n", "stopping the container\nmerging \\x1b[2Jthe files\n" + warnings},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, map[string]answer{"POST /containers/web/upgrade": stream(t, messages...)}, strings.Fields("upgrade web app:2 "+test.args)...)
			if o.err != nil {
				t.Fatal(o.err)
			}
			same(t, "the output", o.stdout, test.stdout)
			same(t, "the progress", o.stderr, test.stderr)
		})
	}
}

// A container whose image has no name, at birth, that stays stopped.
func TestRollbackOfAStoppedContainer(t *testing.T) {
	o := run(t, map[string]answer{"POST /containers/web/rollback": stream(t, api.Progress{Result: &api.Result{Revision: api.Revision{ImageID: oldID}}})}, "rollback", "web")
	if o.err != nil {
		t.Fatal(o.err)
	}
	same(t, "the output", o.stdout, "web is on 111111111111, and is stopped.\n")
}

func TestRequests(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"upgrade web app:2", `upgrade {"Image":"app:2"}`},
		{"upgrade web app:2 -m why --no-start --health-timeout 1m30s", `upgrade {"Image":"app:2","Message":"why","NoStart":true,"HealthTimeout":90}`},
		{"upgrade web app:2 --health-timeout 1ms", `upgrade {"Image":"app:2","HealthTimeout":1}`},
		{"upgrade web app:2 --policy /a=b/*=image --policy fail --policy /etc/**=keep",
			`upgrade {"Image":"app:2","Policy":"fail","Paths":[{"Pattern":"/a=b/*","Policy":"image"},{"Pattern":"/etc/**","Policy":"keep"}]}`},
		{"upgrade web app:2 --keep /srv/a,b --keep /data", `upgrade {"Image":"app:2","Keep":["/srv/a,b","/data"]}`},
		{"rollback web 3 --carry --keep /data", `rollback {"Revision":3,"Carry":true,"Keep":["/data"]}`},
		{"rollback web", `rollback {}`},
		{"rollback web 3 --carry --policy image -m why --no-start", `rollback {"Revision":3,"Message":"why","Carry":true,"Policy":"image","NoStart":true}`},
	} {
		end := stream(t, api.Progress{Result: &api.Result{}})
		o := run(t, map[string]answer{"POST /containers/web/upgrade": end, "POST /containers/web/rollback": end}, strings.Fields(test.args)...)
		if o.err != nil {
			t.Errorf("%s: %v", test.args, o.err)
		}
		same(t, "the request of "+test.args, strings.Join(o.requests, "\n"), "POST /containers/web/"+test.want)
	}
}

// A container that came back says so, in words and in the exit status, however
// its result is shown.
func TestRolledBack(t *testing.T) {
	messages := []any{
		api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}},
		api.Progress{Result: &api.Result{
			Revision: api.Revision{Number: 4}, Before: api.Revision{Number: 4}, Started: true,
			RolledBack: "its health check failed: exit status 1",
		}},
	}
	for args, stdout := range map[string]string{"": "", "-q": "4\n", "--format {{.Started}}": "true\n"} {
		o := run(t, map[string]answer{"POST /containers/web/upgrade": stream(t, messages...)}, strings.Fields("upgrade web app:2 "+args)...)
		if statusOf(o.err) != 3 {
			t.Fatalf("%s: exit status %d: %v", args, statusOf(o.err), o.err)
		}
		same(t, "the error", o.err.Error(), "web did not come up on app:2 (aaaaaaaaaaaa) and was rolled back: its health check failed: exit status 1\n"+
			"It is again as it was before, on app:1 (111111111111).")
		same(t, "the output", o.stdout, stdout)
	}
}

// Of a container that somebody stopped before it was up nobody says that it runs.
func TestUnseen(t *testing.T) {
	o := run(t, map[string]answer{"POST /containers/web/upgrade": stream(t,
		api.Progress{Plan: &api.Plan{From: fromImage, To: toImage}},
		api.Progress{Result: &api.Result{
			Revision: api.Revision{Number: 5, Image: "app:2", ImageID: newID}, Before: api.Revision{Number: 4},
			Unseen: "the container was stopped before it was seen to be up",
		}},
	)}, "upgrade", "web", "app:2")
	if statusOf(o.err) != 4 {
		t.Fatalf("exit status %d: %v", statusOf(o.err), o.err)
	}
	same(t, "the error", o.err.Error(), "web was moved, but nobody knows whether it comes up: the container was stopped before it was seen to be up")
	same(t, "the output", o.stdout, "web is on revision 5, app:2, and is stopped.\nTo go back: docker baleen rollback web 4\n")
}

func TestMoveThatFails(t *testing.T) {
	const stopping = `{"Status":"stopping the container"}` + "\n"
	for name, test := range map[string]struct{ body, want string }{
		"error":        {stopping + `{"Error":"no space left on device"}`, "Error response from daemon: no space left on device"},
		"cut":          {stopping, "ended the upgrade of container web without a result: unexpected EOF"},
		"cut halfway":  {stopping + `{"Result":{"Revision"`, "ended the upgrade of container web without a result: unexpected EOF"},
		"empty":        {"", "ended the upgrade of container web without a result: unexpected EOF"},
		"plan alone":   {`{"Plan":{}}`, "ended the upgrade of container web without a result: unexpected EOF"},
		"not messages": {"<html>", "ended the upgrade of container web without a result: invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			o := run(t, map[string]answer{"POST /containers/web/upgrade": {http.StatusOK, test.body}}, "upgrade", "web", "app:2")
			if statusOf(o.err) != 1 || !strings.Contains(o.err.Error(), test.want) || o.stdout != "" {
				t.Errorf("%v and %q, not %q", o.err, o.stdout, test.want)
			}
		})
	}
}
