//go:build go1.25

// The language version of this file is that of testing/synctest.

package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// upgradeCase is an upgrade of the container web from the image old to the image new.
type upgradeCase struct {
	name    string
	stopped bool // before
	req     api.UpgradeRequest
	prepare func(w *world)
	want    outcome
}

// successfulUpgrades take the container to the new image.
var successfulUpgrades = []upgradeCase{
	{
		name: "comes up", want: outcome{
			image: "new", took: 3 * time.Second,
			calls:  "plan stop save prepare run save mount workdir unmount save start",
			events: "upgrade 2 old",
		},
	},
	{
		name: "of a stopped container", stopped: true,
		want: outcome{image: "new", stopped: true, calls: "prepare run save mount workdir unmount save"},
	},
	{
		name: "without a start", req: api.UpgradeRequest{NoStart: true},
		want: outcome{image: "new", stopped: true, calls: "plan stop save prepare run save mount workdir unmount save"},
	},
	{
		name: "to an image with fewer volumes", prepare: func(w *world) {
			w.c.Config.Volumes = map[string]struct{}{"/data": {}}
			w.c.MountPoints["/data"] = &moby.MountPoint{Volume: volume{name: "data"}}
		},
		want: outcome{image: "new", warning: "the volume at /data stays mounted; new does not ask for it"},
	},
}

// refusedUpgrades end before the container's files are switched.
var refusedUpgrades = []upgradeCase{
	{
		name: "with an undecided conflict that is not listed", prepare: func(w *world) { w.plan.FailCount = 7 },
		want: outcome{image: "old", err: "7 paths changed both in container", calls: "plan"},
	},
	{
		name: "dry run with an undecided conflict", req: api.UpgradeRequest{DryRun: true}, prepare: func(w *world) { w.plan.FailCount = 7 },
		want: outcome{image: "old", calls: "plan"},
	},
	{
		name: "dry run", req: api.UpgradeRequest{DryRun: true},
		want: outcome{image: "old", calls: "plan"},
	},
	{
		name: "of a container with --rm", prepare: func(w *world) { w.c.HostConfig.AutoRemove = true },
		want: outcome{image: "old", err: "created with --rm"},
	},
	{
		name: "of a paused container", prepare: func(w *world) { w.c.State.Paused = true },
		want: outcome{image: "old", err: "it is paused"},
	},
	{
		name: "of a container that is being removed", prepare: func(w *world) { w.c.State.RemovalInProgress = true },
		want: outcome{image: "old", err: "marked for removal"},
	},
	{
		name: "with an undecided conflict", prepare: func(w *world) {
			w.plan.FailCount, w.plan.Conflicts = 1, []api.Conflict{{Path: "/a", Winner: "image"}, {Path: "/b"}}
		},
		want: outcome{image: "old", err: "/b changed both in container web and in the image", calls: "plan"},
	},
	{
		name: "to an image without a command", prepare: func(w *world) { w.to.Entrypoint, w.to.Cmd = nil, nil },
		want: outcome{image: "old", err: "no command specified", calls: "plan"},
	},
	{
		name: "of a stopped container to an image without a command", stopped: true,
		prepare: func(w *world) { w.to.Entrypoint, w.to.Cmd = nil, nil },
		want:    outcome{image: "old", stopped: true, err: "no command specified", calls: "prepare abandon"},
	},
	{
		name: "that cannot be planned", prepare: func(w *world) { w.at = w.failing("plan", 1) },
		want: outcome{image: "old", err: "it fails", calls: "plan"},
	},
	{
		name: "of a container that does not stop", prepare: func(w *world) { w.at = w.failing("stop", 1) },
		want: outcome{image: "old", err: "stop container web: it fails"},
	},
	{
		name: "of a container that is started again at once", prepare: func(w *world) { w.again = true },
		want: outcome{image: "old", err: "stop container web: it was started again"},
	},
	{
		name: "that cannot be prepared", prepare: func(w *world) { w.at = w.failing("prepare", 1) },
		want: outcome{image: "old", err: "it fails", calls: "plan stop save prepare start"},
	},
}

// failedUpgrades fail while the files are switched, or at the start after it.
var failedUpgrades = []upgradeCase{
	{
		name: "whose switch fails", prepare: func(w *world) { w.at = w.failing("run", 1) },
		want: outcome{image: "old", err: "switch the files of container web", calls: "plan stop save prepare run state save start"},
	},
	{
		name: "whose switch fails half-way, after the files", prepare: func(w *world) { w.halfway = errFault },
		want: outcome{image: "new", err: "switch the files of container web", calls: "plan stop save prepare run state save start"},
	},
	{
		name: "whose switch fails, and the container does not start", prepare: func(w *world) {
			run, start := w.failing("run", 1), w.failing("start", 1)
			w.at = func(n int) error { return errors.Join(run(n), start(n)) }
		},
		want: outcome{image: "old", stopped: true, err: "start container web"},
	},
	{
		name: "whose volume cannot be filled", prepare: func(w *world) {
			w.to.Volumes = map[string]struct{}{"/data/": {}}
			w.at = w.failing("fill", 1)
		},
		want: outcome{image: "old", back: "volume /data: it fails"},
	},
	{
		name: "whose second volume cannot be filled", prepare: func(w *world) {
			w.to.Volumes = map[string]struct{}{"/data": {}, "/log": {}}
			w.at = w.failing("fill", 2)
		},
		want: outcome{image: "old", back: ": it fails"},
	},
	{
		name: "that does not start", prepare: func(w *world) { w.at = w.failing("start", 1) },
		want: outcome{image: "old", back: "start container web: it fails"},
	},
	{
		name: "that starts neither before nor after it is taken back", prepare: func(w *world) {
			first, second := w.failing("start", 1), w.failing("start", 2)
			w.at = func(n int) error { return errors.Join(first(n), second(n)) }
		},
		want: outcome{image: "old", stopped: true, err: "and then its rollback: start container web"},
	},
	{
		name: "that exits and cannot be taken back", prepare: func(w *world) {
			w.started = func() { w.later(1010*time.Millisecond, exit(7)) }
			w.at = w.failing("prepare", 2)
		},
		want: outcome{image: "new", stopped: true, err: "the upgrade failed: the container exited with status 7; and then its rollback: it fails"},
	},
}

// watchedUpgrades are decided by what the container does after its start.
var watchedUpgrades = []upgradeCase{
	{
		name: "that exits", prepare: func(w *world) { w.ifNew(func() { w.later(1010*time.Millisecond, exit(7)) }) },
		want: outcome{
			image: "old", back: "exited with status 7", took: 1050 * time.Millisecond,
			calls:  "plan stop save prepare run save mount workdir unmount save start stop save prepare save run save start",
			events: "upgrade 2 old, rollback 1 new",
		},
	},
	{
		name: "that exits and is restarted by its policy", prepare: func(w *world) {
			w.ifNew(func() { w.later(time.Second, func(c *moby.Container) { c.RestartCount++ }) })
		},
		want: outcome{image: "old", back: "restarted by its policy"},
	},
	{
		name: "that somebody restarts meanwhile", prepare: func(w *world) {
			w.started = func() {
				w.later(time.Second, func(c *moby.Container) { c.HasBeenManuallyRestarted, c.State.Running = true, false })
				w.later(2*time.Second, func(c *moby.Container) { c.HasBeenManuallyRestarted, c.State.Running = false, true })
			}
		},
		want: outcome{image: "new", took: 3 * time.Second},
	},
	{
		name: "that somebody stops meanwhile", prepare: func(w *world) {
			w.started = func() {
				w.later(time.Second, func(c *moby.Container) { c.HasBeenManuallyStopped, c.State.Running = true, false })
			}
		},
		want: outcome{image: "new", stopped: true, unseen: "was stopped before it was seen to be up"},
	},
	{
		name: "that somebody pauses meanwhile", prepare: func(w *world) {
			w.started = func() { w.later(time.Second, func(c *moby.Container) { c.State.Paused = true }) }
		},
		want: outcome{image: "new", unseen: "was paused before it was seen to be up"},
	},
	{
		name: "while the daemon shuts down", prepare: func(w *world) {
			w.started = func() { w.later(time.Second, func(*moby.Container) { w.mu.Lock(); w.shutdown = true; w.mu.Unlock() }) }
		},
		want: outcome{image: "new", unseen: "the daemon shuts down before"},
	},
	{
		name: "of a container that is removed meanwhile", prepare: func(w *world) {
			w.started = func() { w.later(time.Second, func(c *moby.Container) { c.State.RemovalInProgress = true }) }
		},
		want: outcome{image: "new", err: "container web is being removed"},
	},
	{
		name: "that becomes healthy", prepare: func(w *world) {
			w.to.Healthcheck = probe
			w.started = func() { w.health(4010*time.Millisecond, moby.Healthy) }
		},
		want: outcome{image: "new", took: 4050 * time.Millisecond},
	},
	{
		name: "that becomes unhealthy", prepare: func(w *world) {
			w.to.Healthcheck = probe
			w.ifNew(func() {
				w.health(4*time.Second, moby.Unhealthy, &moby.HealthcheckResult{ExitCode: 3, Output: "no answer"})
			})
		},
		want: outcome{image: "old", back: "the container is unhealthy: its last check ended with 3: no answer"},
	},
	{
		name: "that never becomes healthy", prepare: func(w *world) { w.to.Healthcheck = probe },
		want: outcome{image: "old", back: "was not healthy within 6s", took: 6 * time.Second},
	},
	{
		name: "that is not healthy as soon as asked", req: api.UpgradeRequest{HealthTimeout: 4},
		prepare: func(w *world) { w.to.Healthcheck = probe },
		want:    outcome{image: "old", back: "was not healthy within 4s", took: 4 * time.Second},
	},
	{
		name: "without a health check that is asked to run for longer", req: api.UpgradeRequest{HealthTimeout: 60},
		want: outcome{image: "new", took: time.Minute},
	},
}

func TestUpgrade(t *testing.T) {
	for _, tc := range slices.Concat(successfulUpgrades, refusedUpgrades, failedUpgrades, watchedUpgrades) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, !tc.stopped)
				if tc.prepare != nil {
					tc.prepare(w)
				}
				w.check(tc.want, func(ctx context.Context, tell func(api.Progress)) error {
					return w.ops.Upgrade(ctx, "web", tc.req, tell)
				})
			})
		})
	}
}
