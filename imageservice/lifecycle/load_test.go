package lifecycle_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// A daemon that ended between a switch and its record finds what the files are.
func TestLoadAdoptsTheFiles(t *testing.T) {
	for _, runs := range []bool{false, true} {
		w := newWorld(t, runs)
		w.files = "new"
		w.to.Volumes = map[string]struct{}{"/data": {}}
		l, err := w.ops.Load(t.Context(), w.c)
		if err != nil || l == nil || w.c.Config.Image != "new" || w.c.Path != "run" || !slices.Equal(w.c.Args, []string{"serve"}) {
			t.Errorf("layer %v, %v, record %+v, %s %q", l, err, w.c.Config, w.c.Path, w.c.Args)
		}
		// A running container has its volumes, or cannot get any.
		if added := w.c.MountPoints["/data"] != nil; added == runs {
			t.Errorf("running %v: volume added: %v", runs, added)
		}
		if w.mounts != 0 {
			t.Error("its root is still mounted")
		}
	}
}

func TestLoadKeepsHealthOfAProbedContainer(t *testing.T) {
	for _, check := range []*moby.HealthConfig{nil, probe} {
		w := newWorld(t, false)
		w.files, w.to.Healthcheck = "new", check
		w.c.State.Health = &moby.ContainerHealth{}
		if _, err := w.ops.Load(t.Context(), w.c); err != nil {
			t.Fatal(err)
		}
		if kept := w.c.State.Health != nil; kept != (check != nil) {
			t.Errorf("check %v: health kept: %v", check, kept)
		}
	}
}

// A container is loaded without its files, says so, and comes back when they are there.
func TestLoadWithoutFiles(t *testing.T) {
	w := newWorld(t, false)
	w.lost = cerrdefs.ErrNotFound.WithMessage("the folder is away")
	l, err := w.ops.Load(t.Context(), w.c)
	if err != nil || l == nil {
		t.Fatalf("the container is not loaded: %v, %v", l, err)
	}
	if text := w.c.State.ErrorMsg; !strings.Contains(text, "cannot load: the folder is away") {
		t.Errorf("its error is %q", text)
	}
	w.doubtful = true
	wantConflict(t, w.ops.MayStart(t.Context(), w.c), "cannot load: the folder is away")
	_, err = w.ops.Snapshot(t.Context(), "web", api.SnapshotRequest{})
	wantConflict(t, err, "cannot load: the folder is away")
	w.lost, w.files = nil, "new"
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who gives up waiting does not make the files unusable
	if err := w.ops.MayStart(ctx, w.c); err != nil || w.c.State.ErrorMsg != "" || w.saved != "new" {
		t.Errorf("with its files: %v, error %q, record %q", err, w.c.State.ErrorMsg, w.saved)
	}
	calls := len(w.calls)
	if err := w.ops.MayStart(t.Context(), w.c); err != nil || len(w.calls) != calls {
		t.Errorf("a container without doubt is loaded again: %v, %q", err, w.calls[calls:])
	}
}

// An error of the container's own stays when its files are there.
func TestLoadKeepsOtherErrors(t *testing.T) {
	w := newWorld(t, false)
	w.c.State.ErrorMsg = "no such command"
	if _, err := w.ops.Load(t.Context(), w.c); err != nil || w.c.State.ErrorMsg != "no such command" {
		t.Errorf("%v, error %q", err, w.c.State.ErrorMsg)
	}
}

// What was being made has no layer yet, and is removed.
func TestLoadOfAnUnfinishedContainer(t *testing.T) {
	for name, mark := range map[string]func(root string) error{"creation": unfinished.MarkCreating, "restore": unfinished.MarkRestoring} {
		w := newWorld(t, false)
		if err := mark(w.c.Root); err != nil {
			t.Fatal(err)
		}
		w.lost = cerrdefs.ErrUnavailable
		if _, err := w.ops.Load(t.Context(), w.c); err != nil {
			t.Errorf("%s: while containerd is away: %v", name, err)
		}
		w.lost = cerrdefs.ErrNotFound
		if _, err := w.ops.Load(t.Context(), w.c); !cerrdefs.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadImageMounts(t *testing.T) {
	w := newWorld(t, false)
	w.c.MountPoints["/tools"] = &moby.MountPoint{Type: moby.MountTypeImage, ID: id + "-mount-1"}
	w.c.MountPoints["/data"] = &moby.MountPoint{Type: moby.MountTypeVolume}
	w.at = w.failing("load image mount", 1)
	if _, err := w.ops.Load(t.Context(), w.c); err != nil || !strings.Contains(w.c.State.ErrorMsg, errFault.Error()) {
		t.Errorf("%v, error %q", err, w.c.State.ErrorMsg)
	}
	w.c.RWLayer, w.doubtful = nil, true // the mount alone is in doubt
	if err := w.ops.MayStart(t.Context(), w.c); err != nil || w.c.State.ErrorMsg != "" || w.c.MountPoints["/tools"].Layer == nil {
		t.Errorf("%v, error %q", err, w.c.State.ErrorMsg)
	}
}

func TestVolumesOfTheNewImage(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(w *world, root string)
		want    string // paths
	}{
		{"added", func(*world, string) {}, "/data"},
		{"mounted already", func(w *world, _ string) { w.c.MountPoints["/data"] = &moby.MountPoint{} }, "/data"},
		{"a tmpfs", func(w *world, _ string) { w.c.HostConfig.Tmpfs = map[string]string{"/data": ""} }, ""},
		{"a file is there", func(w *world, root string) {
			if err := os.WriteFile(filepath.Join(root, "data"), nil, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}, ""},
		{"cannot be added", func(w *world, _ string) { w.at = w.failing("add", 1) }, ""},
		{"cannot be filled", func(w *world, _ string) { w.at = w.failing("fill", 1) }, ""},
		{"no working directory", func(w *world, _ string) { w.at = w.failing("workdir", 1) }, ""},
		{"cannot be mounted", func(w *world, _ string) { w.at = w.failing("mount", 1) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, false)
			w.files = "new"
			w.to.Volumes = map[string]struct{}{"/data/": {}}
			root := filepath.Join(w.c.Root, "rootfs")
			if err := os.Mkdir(root, 0o700); err != nil {
				t.Fatal(err)
			}
			tc.prepare(w, root)
			if _, err := w.ops.Load(t.Context(), w.c); err != nil {
				t.Fatal(err)
			}
			var paths []string
			for path := range w.c.MountPoints {
				paths = append(paths, path)
			}
			if got := strings.Join(paths, " "); got != tc.want || len(w.volumes) > len(paths) || w.mounts != 0 {
				t.Errorf("mounts at %q, want %q; volumes %v; %d mounts of the root left", got, tc.want, w.volumes, w.mounts)
			}
		})
	}
}

// A rollback gives up what a container has lost. A dry run and other operations do not.
func TestRollbackGivesUpWhatIsLost(t *testing.T) {
	rollback := func(req api.RollbackRequest) func(w *world, tell func(api.Progress)) error {
		return func(w *world, tell func(api.Progress)) error { return w.ops.Rollback(t.Context(), "web", req, tell) }
	}
	for _, tc := range []struct {
		name    string
		prepare func(w *world)
		act     func(w *world, tell func(api.Progress)) error
		err     string // "" if the container is rolled back
		asked   bool   // whether it is given up, or tried
	}{
		{name: "a rollback", act: rollback(api.RollbackRequest{}), asked: true},
		{name: "a dry run", act: rollback(api.RollbackRequest{DryRun: true}), err: "cannot load: lost"},
		{
			name: "an upgrade", err: "cannot load: lost",
			act: func(w *world, tell func(api.Progress)) error { return upgrade(t.Context(), w, tell) },
		},
		{
			name: "nothing is lost that can be given up", prepare: func(w *world) { w.canLose = false },
			act: rollback(api.RollbackRequest{}), err: "cannot load: lost", asked: true,
		},
		{
			name: "no revision to go to", prepare: func(w *world) { w.at = w.failing("give up", 1) },
			act: rollback(api.RollbackRequest{}), err: "cannot load: lost; it cannot be rolled back: it fails", asked: true,
		},
		{
			name: "a container that is being removed", prepare: func(w *world) { w.c.State.RemovalInProgress = true },
			act: rollback(api.RollbackRequest{}), err: "marked for removal",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, false)
			w.c.RWLayer, w.doubtful, w.canLose = layer{}, true, true
			w.lost = cerrdefs.ErrDataLoss.WithMessage("lost")
			if tc.prepare != nil {
				tc.prepare(w)
			}
			var result *api.Result
			err := tc.act(w, func(p api.Progress) { result = p.Result })
			if asked := slices.Contains(w.calls, "give up"); asked != tc.asked {
				t.Errorf("calls %q", w.calls)
			}
			if tc.err != "" {
				wantConflict(t, err, tc.err)
				return
			}
			if err != nil || result == nil || !strings.Contains(strings.Join(result.Warnings, ""), "was lost") {
				t.Fatalf("%v, result %+v", err, result)
			}
			w.checkSettled()
		})
	}
}
