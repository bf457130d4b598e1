package checkpoint_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
)

// TestCheckOfAContainer: all that speaks against keeping its processes is listed, and
// nothing happens to the container.
func TestCheckOfAContainer(t *testing.T) {
	for name, tc := range map[string]struct {
		stopped bool
		criu    string
		prepare func(c *moby.Container)
		against []string
	}{
		"nothing":  {criu: "4.2.1"},
		"stopped":  {criu: "4.2.1", stopped: true, against: []string{"it does not run"}},
		"terminal": {criu: "4.2.1", prepare: func(c *moby.Container) { c.Config.Tty = true }, against: []string{"it has a terminal"}},
		"runtime":  {criu: "4.2.1", prepare: func(c *moby.Container) { c.HostConfig.Runtime = "kata" }, against: []string{"its runtime is kata"}},
		"no CRIU":  {},
	} {
		t.Run(name, func(t *testing.T) {
			criuInPath(t, tc.criu)
			w := newWorld(t)
			c := w.container(!tc.stopped)
			if tc.prepare != nil {
				tc.prepare(c)
			}
			m := &checkpoint.Maker{Operations: w, Images: w, Names: w, Processes: w, Freezer: w, Defaults: w, Events: w}
			got, err := m.Check(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got.Reasons, tc.against, strings.HasPrefix) || got.Processes != (len(tc.against) == 0 && tc.criu != "") || got.Processes == (got.Reason != "") {
				t.Errorf("it says %+v, want reasons %q", got, tc.against)
			}
			if w.pauses > 0 || slices.Contains(w.calls, "Dump") || c.State.Running == tc.stopped {
				t.Errorf("calls %v, %d pauses", w.calls, w.pauses)
			}
		})
	}
	w := newWorld(t)
	w.container(true)
	w.fail = func(_ int, name string) error {
		if name == "Pids" {
			return errFault
		}
		return nil
	}
	m := &checkpoint.Maker{Operations: w, Images: w, Names: w, Processes: w, Freezer: w, Defaults: w, Events: w}
	if got, err := m.Check(t.Context(), "web"); !errors.Is(err, errFault) || got.Processes {
		t.Errorf("of processes that cannot be listed it says %+v, %v", got, err)
	}
}
