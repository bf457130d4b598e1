//go:build go1.25

package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// TestRestartDependents: a container that shares the network of an upgraded one is
// restarted, and if not, the upgrade stands and a warning says why.
func TestRestartDependents(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(w *world, client *moby.Container)
		runs    bool
		warning string // "" if it is restarted
	}{
		{"that runs", nil, true, ""},
		{"that got a signal by docker kill before, and ended with its pid namespace", func(w *world, client *moby.Container) {
			client.HasBeenManuallyStopped = true
			w.started = func() { client.State.Running, w.started = false, nil }
		}, true, ""},
		{"that ended with its pid namespace", func(w *world, client *moby.Container) {
			w.started = func() { client.State.Running, w.started = false, nil }
		}, true, ""},
		{"that somebody stops meanwhile", func(w *world, client *moby.Container) {
			w.started = func() { client.HasBeenManuallyStopped, client.State.Running = true, false }
		}, false, "was not restarted: somebody stopped it meanwhile"},
		{"that another operation works on", func(w *world, client *moby.Container) {
			w.started = func() {
				w.started = nil
				if _, _, _, err := w.ops.Begin(w.t.Context(), client.ID, "a snapshot"); err != nil {
					w.t.Error(err)
				}
			}
		}, true, "was not restarted: container client is busy: a snapshot is under way"},
		{"that cannot be stopped", func(w *world, _ *moby.Container) { w.at = w.failing("stop", 2) }, true, "was not restarted: it fails"},
		{"that does not start", func(w *world, _ *moby.Container) { w.at = w.failing("start", 2) }, false, "was not restarted: it fails"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, true)
				client := moby.NewContainer("fedcba9876543210", t.TempDir())
				client.Name, client.HostConfig = "/client", &moby.HostConfig{NetworkMode: "container:web"}
				client.State.Running = true
				w.others = append(w.others, client)
				if tc.prepare != nil {
					tc.prepare(w, client)
				}
				var result *api.Result
				err := w.ops.Upgrade(t.Context(), "web", api.UpgradeRequest{RestartDependents: true}, func(p api.Progress) { result = p.Result })
				if err != nil || w.files != "new" || client.State.Running != tc.runs {
					t.Fatalf("the files are %s, the client runs: %v; %v", w.files, client.State.Running, err)
				}
				if restarted := slices.Equal(result.Restarted, []string{"client"}); restarted != (tc.warning == "") {
					t.Errorf("restarted are %q", result.Restarted)
				}
				if got := strings.Join(result.Warnings, "\n"); tc.warning == "" && got != "" || !strings.Contains(got, tc.warning) {
					t.Errorf("the warnings are %q", got)
				}
			})
		})
	}
}
