package revisions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestUpgradeThatDoesNotComeUp: a container that does not run on, or is not
// healthy, is back on its image with its data, and runs. Asked for in Finsys/dockhand#14.
func TestUpgradeThatDoesNotComeUp(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "well", "HEALTHCHECK --interval=100ms CMD test -e /version\n")
	e.BuildApp(t, "sick", "HEALTHCHECK --interval=100ms --timeout=2s --retries=2 CMD echo so sick; false\n")
	e.BuildApp(t, "slow", "HEALTHCHECK --interval=1h CMD true\n")
	e.BuildApp(t, "ends", `CMD ["sh", "-c", "exit 42"]`+"\n")
	e.BuildApp(t, "nothing", `ENTRYPOINT ["/nothing"]`+"\n")
	e.BuildApp(t, "volume-on-file", "RUN mkdir /cache && echo x > /cache/x\nVOLUME /cache\nVOLUME /own\n")
	for _, tc := range []struct {
		image, why string
		timeout    int
		flags      []string
	}{
		{image: "sick", why: "unhealthy: its last check ended with 1: so sick"},
		{image: "slow", why: "not healthy within 1s", timeout: 1},
		{image: "ends", why: "exited with status 42"},
		{image: "ends", why: "the container exited", flags: []string{"--restart", "always"}},
		{image: "nothing", why: "/nothing"},
		{image: "volume-on-file", why: "/own"},
	} {
		t.Run(strings.Join(append([]string{tc.image}, tc.flags...), " "), func(t *testing.T) {
			before := e.State(t)
			volumes := e.Must(t, "volume", "ls", "-q")
			start(t, e, "web", append(tc.flags, "app:1")...)
			e.Must(t, "exec", "web", "sh", "-c", "echo mine > /data/file; echo mine > /own")
			mounts := e.Inspect(t, "web", "{{json .Mounts}}")
			_, result := e.Upgrade(t, "web", api.UpgradeRequest{Image: tc.image, HealthTimeout: tc.timeout})
			if !strings.Contains(result.RolledBack, tc.why) || !result.Started {
				t.Errorf("the result is %+v, want it rolled back because of %s", result, tc.why)
			}
			if result.Revision.Image != "app:1" || result.Before.Image != "app:1" {
				t.Errorf("the result is %+v", result)
			}
			e.MustRead(t, "web", "/version", "app:1")
			e.MustRead(t, "web", "/data/file", "mine")
			tellsTheTruthPlainly(t, e, "web", "app:1")
			if is := e.Inspect(t, "web", "{{json .Mounts}}"); is != mounts {
				t.Errorf("the mounts were %s and are %s", mounts, is)
			}
			if state := e.Inspect(t, "web", "{{.State.Status}} {{.RestartCount}} {{json .State.Health}}"); state != "running 0 null" {
				t.Errorf("the container is %s", state)
			}
			e.Must(t, "rm", "-f", "-v", "web")
			if is := e.Must(t, "volume", "ls", "-q"); is != volumes {
				t.Errorf("the volumes were %q and are %q", volumes, is)
			}
			e.Settled(t, before)
		})
	}
	t.Run("well", func(t *testing.T) { comesUpHealthy(t, e) })
}

func comesUpHealthy(t *testing.T, e *harness.Env) {
	t.Helper()
	start(t, e, "web", "app:1")
	if _, result := e.Upgrade(t, "web", api.UpgradeRequest{Image: "well"}); result.RolledBack != "" || !result.Started {
		t.Errorf("the result is %+v", result)
	}
	if health := e.Inspect(t, "web", "{{.State.Health.Status}}"); health != "healthy" {
		t.Errorf("the container is %s", health)
	}
	// What the check of one image found is no reason to take back the upgrade to another.
	if _, result := e.Upgrade(t, "web", api.UpgradeRequest{Image: "slow", HealthTimeout: 1}); result.RolledBack != "the container was not healthy within 1s" {
		t.Errorf("an upgrade to an image whose check has not run is rolled back because of %q", result.RolledBack)
	}
	e.Rollback(t, "web", api.RollbackRequest{Revision: 1})
	if health := e.Inspect(t, "web", "{{json .State.Health}}"); health != "null" {
		t.Errorf("back on an image without a check the container has health %s", health)
	}
}

// tellsTheTruthPlainly compares what docker inspect says of a container's image
// with what it says of the image.
func tellsTheTruthPlainly(t *testing.T, e *harness.Env, name, image string) {
	t.Helper()
	want := e.Must(t, "image", "inspect", "-f", "{{.Id}} "+image, image)
	if got := e.Inspect(t, name, "{{.Image}} {{.Config.Image}}"); got != want {
		t.Errorf("docker inspect %s says %s, want %s", name, got, want)
	}
}

// TestStoppedStaysStopped: what does not run is not started, and what is not to
// be started stays stopped. A dry run changes nothing.
func TestStoppedStaysStopped(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	start(t, e, "web", "--restart", "unless-stopped", "app:1")
	was := e.Inspect(t, "web", "{{json .State}} {{json .Config}}")
	before := e.State(t)
	plan, _ := e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", DryRun: true})
	if plan.From.Name != "app:1" || plan.To.Name != "app:2" {
		t.Errorf("the plan is %+v", plan)
	}
	if is := e.Inspect(t, "web", "{{json .State}} {{json .Config}}"); is != was {
		t.Errorf("a dry run made of\n%s\nthis\n%s", was, is)
	}
	e.Settled(t, before)

	if _, result := e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", NoStart: true}); result.Started {
		t.Errorf("the result is %+v", result)
	}
	if state := e.Inspect(t, "web", "{{.State.Status}} {{.Config.Image}}"); state != "exited app:2" {
		t.Errorf("with NoStart the container is %s", state)
	}
	e.RestartDockerd(t)
	if state := e.Inspect(t, "web", "{{.State.Status}} {{.Config.Image}}"); state != "exited app:2" {
		t.Errorf("after the daemon's restart the container is %s", state)
	}
	if _, result := e.Rollback(t, "web", api.RollbackRequest{}); result.Started {
		t.Errorf("the result is %+v", result)
	}
	e.Must(t, "start", "web")
	e.MustRead(t, "web", "/version", "app:1")

	e.Must(t, "create", "--name", "new", "app:1")
	t.Cleanup(func() { e.Remove(t, "new") })
	e.Upgrade(t, "new", api.UpgradeRequest{Image: "app:2"})
	if state := e.Inspect(t, "new", "{{.State.Status}}"); state != "created" {
		t.Errorf("a container that never ran is %s", state)
	}
	e.Must(t, "start", "new")
	e.MustRead(t, "new", "/version", "app:2")
}

// TestConflictsByPolicy: who wins a path that both have changed, and that an
// upgrade which is to fail does so while the container runs.
func TestConflictsByPolicy(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	start(t, e, "web", "app:1")
	e.Must(t, "exec", "web", "sh", "-c", "echo mine > /version")
	started := e.Inspect(t, "web", "{{.State.StartedAt}}")
	list, err := e.Move(t.Context(), "/containers/web/upgrade", api.UpgradeRequest{Image: "app:2", Policy: "fail"})
	if err == nil || !strings.Contains(err.Error(), "/version") || len(list) != 2 || list[0].Plan == nil {
		t.Errorf("an upgrade that is to fail ends with %v after %+v", err, list)
	}
	if now := e.Inspect(t, "web", "{{.State.StartedAt}}"); now != started || len(e.Revisions(t, "web")) > 0 {
		t.Errorf("the container was started at %s and at %s", started, now)
	}
	e.Must(t, "stop", "web")
	if _, err := e.Move(t.Context(), "/containers/web/upgrade", api.UpgradeRequest{Image: "app:2", Policy: "fail"}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("of a stopped container it ends with %v", err)
	}
	e.Must(t, "start", "web")
	plan, _ := e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", Policy: "fail", Paths: []api.PathPolicy{{Pattern: "/ver*", Policy: "keep"}}})
	want := api.Conflict{Path: "/version", Container: "modified", Image: "modified", Winner: "container"}
	if plan.ConflictCount != 1 || !reflect.DeepEqual(plan.Conflicts[0], want) {
		t.Errorf("the plan is %+v", plan)
	}
	e.MustRead(t, "web", "/version", "mine")
	e.Rollback(t, "web", api.RollbackRequest{})
	e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", Policy: "image"})
	e.MustRead(t, "web", "/version", "app:2")
}

// TestRestartPolicyDoesNotInterfere: a container that is always restarted is
// stopped and started by the upgrade and by nobody else.
func TestRestartPolicyDoesNotInterfere(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	start(t, e, "web", "--restart", "always", "app:1")
	since := e.Inspect(t, "web", "{{.State.StartedAt}}")
	e.Snapshot(t, "web", "")
	e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2"})
	e.Rollback(t, "web", api.RollbackRequest{})
	until := fmt.Sprintf("%.9f", float64(time.Now().UnixNano())/1e9)
	out := e.Must(t, "events", "--since", since, "--until", until, "--filter", "container=web", "--format", "{{json .}}")
	var got []string
	for line := range strings.Lines(out) {
		var event struct {
			Action string
			Actor  struct{ Attributes map[string]string }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		switch a := event.Actor.Attributes; event.Action {
		case "start", "die": // and "stop", before or after "die"
			got = append(got, event.Action)
		case "snapshot", "upgrade", "rollback":
			got = append(got, strings.Join([]string{event.Action, a["revision"], a["image"], a["from"]}, " "))
		}
	}
	numbers := e.Revisions(t, "web")
	if len(numbers) < 3 {
		t.Fatalf("the revisions are %+v", numbers)
	}
	want := []string{
		"snapshot 1 app:1 ", "die", "upgrade 3 app:2 app:1", "start",
		"die", "rollback 2 app:1 app:2", "start",
	}
	if got[0] == "start" { // its first
		got = got[1:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("the events were %q, want %q", got, want)
	}
	if state := e.Inspect(t, "web", "{{.State.Status}} {{.RestartCount}}"); state != "running 0" {
		t.Errorf("the container is %s", state)
	}
	// The policy holds again.
	e.Must(t, "exec", "web", "kill", "1")
	harness.Eventually(t, "the policy to restart the container", func() error {
		if n := e.Inspect(t, "web", "{{.RestartCount}} {{.State.Running}}"); n != "1 true" {
			return errors.New(n)
		}
		return nil
	})
}

// slowly starts an upgrade of a container that takes a while to stop, and
// returns when it is being stopped. end returns the upgrade's error.
func slowly(t *testing.T, e *harness.Env, name, image string) (end func() error) {
	t.Helper()
	text, err := json.Marshal(api.UpgradeRequest{Image: image, HealthTimeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	// It ends with the test's daemon, and not before: not with t.Context.
	resp, err := e.Open(context.WithoutCancel(t.Context()), http.MethodPost, "/containers/"+name+"/upgrade", string(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(resp.Body)
		t.Fatal(resp.Status, string(answer), err)
	}
	var seen strings.Builder
	body := io.TeeReader(resp.Body, &seen)
	for dec := json.NewDecoder(body); ; {
		var p api.Progress
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("before it said that it stops the container: %v: %s", err, seen.String())
		}
		if strings.HasPrefix(p.Status, "stopping") {
			break
		}
	}
	return func() error {
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
		_, err := harness.ReadMessages(strings.NewReader(seen.String()))
		return err
	}
}

// stubborn does not end before it is killed.
const stubborn = `trap '' TERM; while :; do sleep 0.1; done`

// TestOneSwitchAtATime: while a container is upgraded there is no second
// operation on its revisions, nor is it removed, unless by force.
func TestOneSwitchAtATime(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	before := e.State(t)
	start(t, e, "web", "--stop-timeout", "3", "app:1", "sh", "-c", stubborn)
	end := slowly(t, e, "web", "app:2")
	for _, request := range []string{"upgrade", "rollback", "snapshot", "revisions/prune"} {
		body := ""
		if request == "upgrade" {
			body = `{"Image": "app:2"}`
		}
		if status, answer := e.Request(t, http.MethodPost, "/containers/web/"+request, body); status != http.StatusConflict || !strings.Contains(answer, "web is busy: an upgrade is under way") {
			t.Errorf("%s during an upgrade: %d %s", request, status, answer)
		}
	}
	if status, answer := e.Request(t, http.MethodDelete, "/containers/web", ""); status != http.StatusConflict || !strings.Contains(answer, "upgrade") {
		t.Errorf("removal during an upgrade: %d %s", status, answer)
	}
	e.Revisions(t, "web") // may be looked at, and so may all else
	e.Inspect(t, "web", "{{.Id}}")
	if err := end(); err != nil {
		t.Errorf("the first upgrade: %v", err)
	}
	e.MustRead(t, "web", "/version", "app:2")

	end = slowly(t, e, "web", "app:1")
	e.Must(t, "rm", "-f", "web")
	if err := end(); err == nil {
		t.Error("an upgrade of a container that was removed ended well")
	}
	e.Settled(t, before)
}

// TestSwitchesAmongOthers: stops, starts, restarts, copies, exports, commits
// and snapshots at the same time as upgrades leave a container that is of one
// image altogether.
func TestSwitchesAmongOthers(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	e.Must(t, "image", "prune", "-f")
	before := e.State(t)
	start(t, e, "web", "-t", "--stop-timeout", "1", "app:1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	others := make(chan struct{})
	go func() {
		defer close(others)
		for i := 0; ctx.Err() == nil; i++ {
			args := [][]string{
				{"stop", "web"}, {"start", "web"}, {"restart", "web"}, {"export", "-o", os.DevNull, "web"},
				{"cp", "web:/version", filepath.Join(t.TempDir(), "version")}, {"commit", "web", "committed"},
			}[i%6]
			// Most of these find the container in another state than they want.
			_, _ = harness.Output(e.Docker(t.Context(), args...))
		}
	}()
	switched := 0
	for i := range 12 {
		image := []string{"app:2", "app:1"}[i%2]
		list, err := e.Move(ctx, "/containers/web/upgrade", api.UpgradeRequest{Image: image, HealthTimeout: 1})
		if err == nil && list[len(list)-1].Result.RolledBack == "" {
			switched++
		}
		if _, err := harness.Output(e.Docker(ctx, "inspect", "web")); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	<-others
	t.Logf("%d of 12 upgrades got through", switched)
	if switched == 0 {
		t.Error("not one upgrade got through")
	}
	e.Must(t, "start", "web")
	image := e.Inspect(t, "web", "{{.Config.Image}}")
	e.MustRead(t, "web", "/version", image)
	tellsTheTruthPlainly(t, e, "web", image)
	e.Must(t, "rm", "-f", "web")
	_, _ = e.Try(t, "rmi", "-f", "committed")
	e.Must(t, "image", "prune", "-f")
	e.Settled(t, before)
}

// TestSnapshotsAmongStarts: snapshots of a container that is stopped and started
// all the time, so that they find it in every state.
func TestSnapshotsAmongStarts(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	before := e.State(t)
	start(t, e, "web", "--stop-timeout", "0", "app:1")
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	others := make(chan struct{})
	go func() {
		defer close(others)
		for ctx.Err() == nil {
			for _, verb := range []string{"stop", "start"} {
				if out, err := harness.Output(e.Docker(t.Context(), verb, "web")); err != nil {
					t.Errorf("docker %s: %v\n%s", verb, err, out)
				}
			}
		}
	}()
	made := 0
	for ctx.Err() == nil {
		e.Snapshot(t, "web", "")
		made++
	}
	<-others
	if n := len(e.Revisions(t, "web")); n != made {
		t.Errorf("%d snapshots made %d revisions", made, n)
	}
	e.MustRead(t, "web", "/version", "app:1")
	e.Must(t, "rm", "-f", "web")
	e.Settled(t, before)
}
