package unfinished_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// Records of a container that is not loaded.
const (
	recorded     = `{"ID":"0123456789ab","Driver":"baleen","State":{}}`
	ofOther      = `{"ID":"0123456789ab","Driver":"overlay2","State":{}}`
	ofCopy       = `{"ID":"ffff","Driver":"baleen","State":{}}`
	startedThere = `{"ID":"0123456789ab","Driver":"baleen","State":{"StartedAt":"2026-11-28T00:00:00Z"}}`
)

// found is what a start of the daemon finds.
type found struct {
	restoring bool   // the mark, else it is that of a creation
	record    string // of a container that is not loaded; "" for none
	layer     bool
	loaded    bool
	dead      bool
	started   bool
}

func (f found) world(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	mark := unfinished.MarkCreating
	if f.restoring {
		mark = unfinished.MarkRestoring
	}
	if err := mark(w.root()); err != nil {
		t.Fatal(err)
	}
	w.layer = f.layer
	if f.record != "" {
		if err := os.WriteFile(filepath.Join(w.root(), "config.v2.json"), []byte(f.record), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f.loaded {
		c := w.add()
		c.State.Dead = f.dead
		if f.started {
			c.State.StartedAt = time.Now()
		}
		if err := os.MkdirAll(filepath.Join(c.CheckpointDir(), unfinished.ProcessFolder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// TestMend is the table from what the daemon's start finds to what it does.
func TestMend(t *testing.T) {
	const gone, whole, kept = "gone", "whole", "kept"
	for name, tc := range map[string]struct {
		found
		want string
	}{
		"creation, nothing yet":           {found{}, gone},
		"creation, a layer":               {found{layer: true}, gone},
		"creation, a record":              {found{record: recorded}, gone},
		"creation, not loaded":            {found{record: recorded, layer: true}, kept},
		"creation, spoilt record":         {found{record: "{", layer: true}, kept},
		"creation, another driver's":      {found{record: ofOther}, kept},
		"creation, a copy":                {found{record: ofCopy}, kept},
		"creation, started, not loaded":   {found{record: startedThere}, kept},
		"creation, loaded":                {found{loaded: true, layer: true}, whole},
		"creation, not removed":           {found{loaded: true, layer: true, dead: true}, gone},
		"restore, nothing yet":            {found{restoring: true}, gone},
		"restore, a layer":                {found{restoring: true, layer: true}, gone},
		"restore, not loaded":             {found{restoring: true, record: recorded, layer: true}, kept},
		"restore, started and not loaded": {found{restoring: true, record: startedThere, layer: true}, kept},
		"restore, not started":            {found{restoring: true, loaded: true, layer: true}, gone},
		"restore, started":                {found{restoring: true, loaded: true, layer: true, started: true}, whole},
	} {
		t.Run(name, func(t *testing.T) {
			w := tc.world(t)
			w.Mend(t.Context())
			left, marked := w.left(), unfinished.IsMarked(w.root())
			got := gone
			switch {
			case len(left) == 0:
			case marked:
				got = kept
			default:
				got = whole
			}
			if got != tc.want || w.layer != tc.layer && got != gone {
				t.Errorf("%s, left %v; want %s", got, left, tc.want)
			}
			dump := filepath.Join(w.root(), "checkpoints", unfinished.ProcessFolder)
			if _, err := os.Lstat(dump); err == nil && tc.restoring && got == whole {
				t.Error("the folder of its processes is left")
			}
		})
	}
}

// TestMendAfterAFailure has each call of a role fail in turn at one start: the next start
// removes what is left.
func TestMendAfterAFailure(t *testing.T) {
	for name, f := range map[string]found{
		"creation":          {layer: true, record: ""},
		"dead":              {loaded: true, layer: true, dead: true},
		"restore":           {restoring: true, layer: true},
		"restore of loaded": {restoring: true, loaded: true, layer: true},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				w := f.world(t)
				w.record = true
				w.process, w.known, w.mounted = f.restoring && f.loaded, f.restoring && f.loaded, f.restoring && f.loaded
				w.fail = func(call int) error {
					if call == n {
						return errAway
					}
					return nil
				}
				w.Mend(t.Context())
				if w.count() < n {
					return // there are no more calls
				}
				w.fail = nil
				w.Mend(t.Context())
				if left := w.left(); len(left) > 0 {
					t.Errorf("call %d failed: left %v", n, left)
				}
			}
		})
	}
}

func TestImagesOfRestores(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*world)
		want    bool
	}{
		"unused":     {func(*world) {}, false},
		"by id":      {func(w *world) { w.add().ImageID = moby.ImageID(image) }, true},
		"other's":    {func(w *world) { w.add().ImageID = "sha256:x" }, false},
		"not loaded": {func(w *world) { unloaded(t, w) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.record = true
			tc.prepare(w)
			w.Mend(t.Context())
			if w.record != tc.want {
				t.Errorf("the record is there: %v, want %v", w.record, tc.want)
			}
		})
	}
}

// unloaded makes a whole container that the daemon has not loaded.
func unloaded(t *testing.T, w *world) {
	t.Helper()
	root := filepath.Join(w.folder, "ffff")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "config.v2.json"), []byte(ofCopy), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMendUnmounts(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*world, *moby.Container)
		want    bool // it stays mounted
	}{
		"stopped":    {func(*world, *moby.Container) {}, false},
		"running":    {func(_ *world, c *moby.Container) { c.State.Running = true }, true},
		"paused":     {func(_ *world, c *moby.Container) { c.State.Paused = true }, true},
		"restarting": {func(_ *world, c *moby.Container) { c.State.Restarting = true }, true},
		"no layer":   {func(_ *world, c *moby.Container) { c.RWLayer = nil }, true},
		"alive": {func(w *world, c *moby.Container) {
			w.process, w.known = true, true
			if err := w.LoadTask(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mounted = true
			tc.prepare(w, w.add())
			w.Mend(t.Context())
			if w.mounted != tc.want {
				t.Errorf("mounted %v, want %v", w.mounted, tc.want)
			}
		})
	}
}
