//go:build go1.25

// The language version of this file is that of testing/synctest.

package lifecycle_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// health is what a health check says after a time.
func (w *world) health(after time.Duration, status moby.HealthStatus, log ...*moby.HealthcheckResult) {
	w.later(after, func(c *moby.Container) {
		c.State.Health = &moby.ContainerHealth{}
		c.State.Health.SetStatus(status)
		c.State.Health.Log = log
	})
}

// later changes the container's state after a time, if the test has not ended.
func (w *world) later(after time.Duration, change func(c *moby.Container)) {
	go func() {
		select {
		case <-time.After(after):
		case <-w.t.Context().Done():
			return
		}
		w.c.State.Lock()
		defer w.c.State.Unlock()
		change(w.c)
	}()
}

func exit(code int) func(*moby.Container) {
	return func(c *moby.Container) {
		c.State.Running = false
		c.State.SetExitCode(code)
	}
}

// ifNew runs f when the container has started on the image "new".
func (w *world) ifNew(f func()) {
	w.started = func() {
		if w.files == "new" {
			f()
		}
	}
}

var probe = &moby.HealthConfig{Test: []string{"CMD", "true"}, Interval: 2 * time.Second, Timeout: time.Second, Retries: 1}

// outcome is what a move comes to.
type outcome struct {
	image   string // of the container's record, on disk too, and of its files
	stopped bool
	err     string // part of the error
	back    string // part of what RolledBack says
	unseen  string // part of what Unseen says
	warning string // part of the only warning
	took    time.Duration
	calls   string // of roles, if they matter
	events  string // if they matter
}

// A rollback takes off the volume that an upgrade has brought, and keeps it. One that the
// container was created with stays.
func TestRollbackTakesOffVolumes(t *testing.T) {
	for _, failing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, false)
			w.c.MountPoints["/own"] = &moby.MountPoint{Volume: volume{name: "own"}}
			w.to.Volumes = map[string]struct{}{"/data/": {}, "/own": {}}
			if err := w.ops.Upgrade(t.Context(), "web", api.UpgradeRequest{}, func(api.Progress) {}); err != nil || w.c.MountPoints["/data"] == nil {
				t.Fatalf("the upgrade: %v, mounts %v", err, w.c.MountPoints)
			}
			if failing {
				w.at = w.failing("release", 1)
			}
			var result *api.Result
			err := w.ops.Rollback(t.Context(), "web", api.RollbackRequest{}, func(p api.Progress) { result = p.Result })
			if err != nil || w.c.MountPoints["/data"] != nil || w.c.MountPoints["/own"] == nil {
				t.Errorf("the rollback: %v, mounts %v", err, w.c.MountPoints)
			}
			if warnings := strings.Join(result.Warnings, "\n"); !strings.Contains(warnings, "kept in the volume volume of /data") || failing != strings.Contains(warnings, "counts as in use") {
				t.Errorf("the warnings are %q", warnings)
			}
		})
	}
}

func TestRollback(t *testing.T) {
	for _, tc := range []struct {
		name    string
		req     api.RollbackRequest
		prepare func(w *world)
		want    outcome
	}{
		{name: "starts", want: outcome{image: "new", calls: "plan stop save prepare run save mount workdir unmount save start"}},
		{name: "dry run", req: api.RollbackRequest{DryRun: true}, want: outcome{image: "old", calls: "plan"}},
		{
			name: "is not watched", prepare: func(w *world) { w.started = func() { w.later(0, exit(1)) } },
			want: outcome{image: "new", stopped: true},
		},
		{
			name: "is not taken back", prepare: func(w *world) { w.at = w.failing("start", 1) },
			want: outcome{image: "new", stopped: true, err: "moved to revision 2, but: start container web: it fails"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, true)
				if tc.prepare != nil {
					tc.prepare(w)
				}
				w.check(tc.want, func(ctx context.Context, tell func(api.Progress)) error {
					return w.ops.Rollback(ctx, "web", tc.req, tell)
				})
			})
		})
	}
}

// check makes a move and compares what it comes to with what is wanted.
func (w *world) check(want outcome, move func(ctx context.Context, tell func(api.Progress)) error) {
	w.t.Helper()
	var told []api.Progress
	began := time.Now()
	err := move(w.t.Context(), func(p api.Progress) { told = append(told, p) })
	took := time.Since(began)
	synctest.Wait()
	var result api.Result
	if len(told) > 0 && told[len(told)-1].Result != nil {
		result = *told[len(told)-1].Result
	} else if err == nil && want.calls != "plan" {
		w.t.Error("the move has no error and no result")
	}
	switch {
	case want.err == "" && err != nil, want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err)):
		w.t.Errorf("error %v, want %q", err, want.err)
	case err != nil && result.Revision.Number != 0:
		w.t.Error("there is a result besides the error")
	}
	if want.back == "" && result.RolledBack != "" || !strings.Contains(result.RolledBack, want.back) {
		w.t.Errorf("rolled back because %q, want %q", result.RolledBack, want.back)
	}
	if want.unseen == "" && result.Unseen != "" || !strings.Contains(result.Unseen, want.unseen) {
		w.t.Errorf("unseen because %q, want %q", result.Unseen, want.unseen)
	}
	if result.Unseen != "" && result.Started != w.c.State.Running {
		w.t.Errorf("the result says that the container runs: %v", result.Started)
	}
	if warnings := strings.Join(result.Warnings, "\n"); want.warning == "" && warnings != "" || !strings.Contains(warnings, want.warning) {
		w.t.Errorf("warnings %q, want %q", warnings, want.warning)
	}
	if want.took != 0 && took != want.took {
		w.t.Errorf("took %s, want %s", took, want.took)
	}
	if calls := strings.Join(w.calls, " "); want.calls != "" && calls != want.calls {
		w.t.Errorf("calls\n%s, want\n%s", calls, want.calls)
	}
	if events := strings.Join(w.events, ", "); want.events != "" && events != want.events {
		w.t.Errorf("events %s, want %s", events, want.events)
	}
	if result.RolledBack != "" && (result.Before.Number != 1 || result.Revision.Number != 1 || len(w.c.MountPoints) > 0) {
		w.t.Errorf("taken back from %+v to %+v, mounts %v", result.Before, result.Revision, w.c.MountPoints)
	}
	if running := w.c.State.IsRunning(); running == want.stopped {
		w.t.Errorf("runs: %v", running)
	}
	if image := w.c.Config.Image; image != want.image {
		w.t.Errorf("the container is of image %s, want %s", image, want.image)
	}
	w.checkSettled()
}
