package stock_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// shownDriver is the field of docker inspect that names the storage driver of a
// container. Moby 29 keeps GraphDriver for its graph drivers.
func shownDriver(t *testing.T) string {
	t.Helper()
	if harness.EngineLine(t) == engine.V28 {
		return ".GraphDriver.Name"
	}
	return ".Storage.RootFS.Snapshot.Name"
}

// TestGraphDriverSaysHowToMove starts the fork where stock has images and containers of
// a graph driver, in which Baleen has no part. The fork serves them as stock does, and
// its log says how to move them. The test follows that, and goes back.
func TestGraphDriverSaysHowToMove(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, StorageDriver: "overlay2"}, "busybox")
	e.Must(t, "run", "--name", "kept", "busybox", "sh", "-c", "echo kept > /file")
	if harness.EngineLine(t) == engine.V29 {
		// Moby 29 takes the containerd store unless it finds files of a graph driver.
		e.Configure(t, map[string]any{})
	}
	e.SwitchTo(t, stack.Fork)
	e.MustLog(t, "Baleen's image service is not in use", "docker save", "docker commit", `\"containerd-snapshotter\": true`, "docker load")
	if got := e.Must(t, "info", "-f", "{{.Driver}}"); got != "overlay2" {
		t.Errorf("the storage driver is %s", got)
	}
	e.Must(t, "start", "-a", "kept")

	e.Must(t, "commit", "kept", "moved")
	archive := filepath.Join(e.Root(), "tmp", "moved.tar")
	e.Must(t, "save", "-o", archive, "moved")
	e.Configure(t, map[string]any{"containerd-snapshotter": true})
	e.SwitchTo(t, stack.Fork)
	if got := e.Must(t, "ps", "-aq") + e.Must(t, "images", "-q"); got != "" {
		t.Errorf("the containerd store has %s", got)
	}
	e.Must(t, "load", "-i", archive)
	if got := e.Must(t, "run", "--rm", "moved", "cat", "/file"); got != "kept" {
		t.Errorf("the moved image has %q", got)
	}
	e.Must(t, "rmi", "moved")

	e.Configure(t, map[string]any{"containerd-snapshotter": false})
	e.SwitchTo(t, stack.Stock)
	if got := e.Must(t, "start", "-a", "kept") + e.Must(t, "run", "--rm", "moved", "cat", "/file"); got != "kept" {
		t.Errorf("the graph driver has %q", got)
	}
}

// TestGraphDriverCommitPauses: Moby's own image service reads the container, which
// is paused for all of a commit unless the user does not want that.
func TestGraphDriverCommitPauses(t *testing.T) {
	e := harness.Start(t, stack.Config{StorageDriver: "overlay2"}, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	if got := harness.Events(t, e, id, func() { e.Must(t, "commit", id) }); !slices.Equal(got, []string{"pause", "commit", "unpause"}) {
		t.Errorf("events were %v", got)
	}
	harness.CommitUnpaused(t, e)
}

// TestNoEmbeddedContainerd: the containerd that stock Moby 29 runs inside dockerd is
// not there, whether it is asked for or nothing else is found.
func TestNoEmbeddedContainerd(t *testing.T) {
	if l := harness.EngineLine(t); l == engine.V28 {
		t.Skipf("Moby %s has no containerd of its own", l)
	}
	if err := stack.CheckMachine(); err != nil {
		t.Skip(err)
	}
	s, err := stack.Start(t.Context(), stack.Config{DaemonConfig: map[string]any{"features": map[string]any{"embedded-containerd": true}}})
	if err == nil {
		t.Error("dockerd started with the containerd inside it")
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
		return
	}
	if !strings.Contains(err.Error(), "Baleen needs a containerd of its own") || !strings.Contains(err.Error(), "--containerd") {
		t.Errorf("the daemon does not say what it needs: %v", err)
	}
}
