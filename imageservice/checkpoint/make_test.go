package checkpoint_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
)

func (w *world) make(req api.CheckpointRequest) error {
	m := &checkpoint.Maker{Operations: w, Images: w, Names: w, Processes: w, Freezer: w, Defaults: w, Events: w}
	return m.Make(w.t.Context(), "web", req, w.emit)
}

// TestMake is the table of what a checkpoint does to a container.
func TestMake(t *testing.T) {
	for name, tc := range map[string]struct {
		runs, unrecorded bool
		req              api.CheckpointRequest
		pauses           int
		dumps, ends      bool
	}{
		"stopped":                {},
		"stopped, files":         {req: api.CheckpointRequest{NoProcess: true}},
		"files":                  {runs: true, req: api.CheckpointRequest{NoProcess: true}, pauses: 1},
		"runs unrecorded":        {unrecorded: true, pauses: 1},
		"processes end":          {runs: true, pauses: 1, dumps: true, ends: true},
		"processes go on":        {runs: true, req: api.CheckpointRequest{LeaveRunning: true}, pauses: 1, dumps: true},
		"processes, with a name": {runs: true, req: api.CheckpointRequest{Ref: "kept"}, pauses: 1, dumps: true, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			criuInPath(t, "4.2.1")
			w := newWorld(t)
			c := w.container(tc.runs)
			w.unrecorded = tc.unrecorded
			if err := w.make(tc.req); err != nil {
				t.Fatal(err)
			}
			if (w.toEnd > 0) != tc.ends {
				t.Errorf("%d freezes to the end", w.toEnd)
			}
			if w.pauses != tc.pauses || w.frozen != 0 || slices.Contains(w.calls, "Dump") != tc.dumps {
				t.Errorf("%d pauses, %d hold, calls %v", w.pauses, w.frozen, w.calls)
			}
			if c.State.Running != (tc.runs && !tc.ends) || c.HasBeenManuallyStopped != tc.ends {
				t.Errorf("runs %v, stopped for good %v", c.State.Running, c.HasBeenManuallyStopped)
			}
			if (string(w.options.Spec) == "spec") != tc.runs || w.options.Plain == nil || (w.options.CRIU == "4.2.1") != tc.dumps {
				t.Errorf("options %+v", w.options)
			}
			made := w.last().Checkpoint
			ref := ""
			if tc.req.Ref != "" {
				ref = "docker.io/library/kept:latest"
			}
			if made == nil || made.Paused != 0 == tc.ends || !slices.Equal(w.images, []string{ref}) || (made.Ref == "kept:latest") != (ref != "") {
				t.Errorf("made %+v, images %q", made, w.images)
			}
			if !slices.Equal(w.events, []string{"checkpoint"}) {
				t.Errorf("events %v", w.events)
			}
		})
	}
}

// TestMakeFails has each call of a role fail in turn: the container is as it was.
func TestMakeFails(t *testing.T) {
	for name, req := range map[string]api.CheckpointRequest{
		"processes": {Ref: "kept"}, "go on": {LeaveRunning: true, Ref: "kept"}, "files": {NoProcess: true, Ref: "kept"},
	} {
		t.Run(name, func(t *testing.T) {
			criuInPath(t, "4.2.1")
			for n := 1; ; n++ {
				w := newWorld(t)
				c := w.container(true)
				w.failNth(n)
				err := w.make(req)
				if len(w.calls) < n {
					return // there are no more calls
				}
				what := w.calls[n-1]
				if !errors.Is(err, errFault) || w.last().Checkpoint != nil || len(w.events) > 0 {
					t.Errorf("%s failed: %v, last message %+v, events %v", what, err, w.last(), w.events)
				}
				if !c.State.Running || w.frozen != 0 {
					t.Errorf("%s failed: runs %v, %d pauses hold", what, c.State.Running, w.frozen)
				}
				if c.HasBeenManuallyStopped != (what == "Kill") {
					t.Errorf("%s failed: stopped for good %v", what, c.HasBeenManuallyStopped)
				}
			}
		})
	}
}

// TestStartedMeanwhile: a container that runs when it is read is paused.
func TestStartedMeanwhile(t *testing.T) {
	criuInPath(t, "4.2.1")
	w := newWorld(t)
	c := w.container(false)
	w.fail = func(_ int, name string) error {
		if name == "UnrecordedTask" {
			c.State.SetRunning(nil, fakeTask{w: w, c: c}, time.Now())
		}
		return nil
	}
	if err := w.make(api.CheckpointRequest{NoProcess: true}); err != nil || w.pauses != 1 || w.frozen != 0 {
		t.Errorf("%v, %d pauses, %d hold", err, w.pauses, w.frozen)
	}
}

func TestProcessesThatAreGoneHaveEnded(t *testing.T) {
	criuInPath(t, "4.2.1")
	w := newWorld(t)
	c := w.container(true)
	w.fail = func(_ int, name string) error {
		if name != "Kill" {
			return nil
		}
		go func() {
			c.State.Lock()
			defer c.State.Unlock()
			c.State.SetStopped(&moby.ExitStatus{})
		}()
		return errdefs.ErrNotFound
	}
	if err := w.make(api.CheckpointRequest{}); err != nil || w.last().Checkpoint == nil || w.frozen != 0 {
		t.Errorf("%v, last message %+v, %d pauses hold", err, w.last(), w.frozen)
	}
}

func TestProcessesThatCannotBeKept(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*moby.Container)
		req     api.CheckpointRequest
		criu    string
		want    string // "" if they can
	}{
		"no criu":             {func(*moby.Container) {}, api.CheckpointRequest{}, "", "no program criu"},
		"--rm":                {func(c *moby.Container) { c.HostConfig.AutoRemove = true }, api.CheckpointRequest{}, "4", "--rm"},
		"--rm, go on":         {func(c *moby.Container) { c.HostConfig.AutoRemove = true }, api.CheckpointRequest{LeaveRunning: true}, "4", ""},
		"paused":              {func(c *moby.Container) { c.State.Paused = true }, api.CheckpointRequest{}, "4", "unpause it first"},
		"paused, go on":       {func(c *moby.Container) { c.State.Paused = true }, api.CheckpointRequest{LeaveRunning: true}, "4", ""},
		"terminal":            {func(c *moby.Container) { c.Config.Tty = true }, api.CheckpointRequest{LeaveRunning: true}, "4", "terminal"},
		"another runtime":     {func(c *moby.Container) { c.HostConfig.Runtime = "kata" }, api.CheckpointRequest{}, "4", "kata"},
		"runc's other name":   {func(c *moby.Container) { c.HostConfig.Runtime = "io.containerd.runc.v2" }, api.CheckpointRequest{}, "4", ""},
		"terminal, and files": {func(c *moby.Container) { c.Config.Tty = true }, api.CheckpointRequest{NoProcess: true}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			criuInPath(t, tc.criu)
			w := newWorld(t)
			c := w.container(true)
			tc.prepare(c)
			err := w.make(tc.req)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "--no-process") {
				t.Errorf("%v, want %s", err, tc.want)
			}
			if w.pauses > 0 || !c.State.Running {
				t.Errorf("%d pauses, runs %v", w.pauses, c.State.Running)
			}
		})
	}
}

func TestNamesOfCheckpoints(t *testing.T) {
	for ref, class := range map[string]func(error) bool{
		"UPPER": errdefs.IsInvalidArgument, "a b": errdefs.IsInvalidArgument,
		"web@sha256:" + strings.Repeat("0", 64):           errdefs.IsInvalidArgument,
		"moby-dangling@sha256:" + strings.Repeat("0", 64): errdefs.IsInvalidArgument,
	} {
		w := newWorld(t)
		w.container(false)
		if err := w.make(api.CheckpointRequest{Ref: ref}); !class(err) || len(w.calls) > 0 {
			t.Errorf("%s: %v, calls %v", ref, err, w.calls)
		}
	}
}

func TestMakeTellsBytes(t *testing.T) {
	w := newWorld(t)
	w.container(false)
	if err := w.make(api.CheckpointRequest{}); err != nil {
		t.Fatal(err)
	}
	told := slices.ContainsFunc(w.messages, func(p api.Progress) bool {
		return p.ProgressDetail != nil && *p.ProgressDetail == api.ProgressDetail{Current: 1, Total: 2}
	})
	if !told {
		t.Errorf("messages %+v", w.messages)
	}
}
