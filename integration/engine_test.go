package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
)

// line is the engine line that the tests run on.
func line(t *testing.T) engine.Line {
	t.Helper()
	l, err := engine.Chosen()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// noPause is the option of docker commit that leaves the container running. The
// command of Moby 29 warns of the one that 28.5 has.
func noPause(t *testing.T) string {
	t.Helper()
	if line(t) == engine.V28 {
		return "--pause=false"
	}
	return "--no-pause"
}

// shownDriver is the field of docker inspect that names the storage driver of a
// container. Moby 29 keeps GraphDriver for its graph drivers.
func shownDriver(t *testing.T) string {
	t.Helper()
	if line(t) == engine.V28 {
		return ".GraphDriver.Name"
	}
	return ".Storage.RootFS.Snapshot.Name"
}

// stockMapsIDs skips a test that needs a stock daemon with userns-remap on the
// containerd store.
func stockMapsIDs(t *testing.T) {
	t.Helper()
	if l := line(t); l == engine.V29 {
		t.Skipf("stock Moby %s refuses userns-remap on the containerd store", l)
	}
}

// TestGraphDriverSaysHowToMove starts the fork where stock has images and containers of
// a graph driver, in which Baleen has no part. The fork serves them as stock does, and
// its log says how to move them. The test follows that, and goes back.
func TestGraphDriverSaysHowToMove(t *testing.T) {
	e := newEnv(t, stack.Config{Flavor: stack.Stock, StorageDriver: "overlay2"}, "busybox")
	e.docker(t, "run", "--name", "kept", "busybox", "sh", "-c", "echo kept > /file")
	if line(t) == engine.V29 {
		// Moby 29 takes the containerd store unless it finds files of a graph driver.
		e.configure(t, map[string]any{})
	}
	e.becomes(t, stack.Fork)
	e.mustLog(t, "Baleen's image service is not in use", "docker save", "docker commit", `\"containerd-snapshotter\": true`, "docker load")
	if got := e.docker(t, "info", "-f", "{{.Driver}}"); got != "overlay2" {
		t.Errorf("the storage driver is %s", got)
	}
	e.docker(t, "start", "-a", "kept")

	e.docker(t, "commit", "kept", "moved")
	archive := filepath.Join(e.Root(), "tmp", "moved.tar")
	e.docker(t, "save", "-o", archive, "moved")
	e.configure(t, map[string]any{"containerd-snapshotter": true})
	e.becomes(t, stack.Fork)
	if got := e.docker(t, "ps", "-aq") + e.docker(t, "images", "-q"); got != "" {
		t.Errorf("the containerd store has %s", got)
	}
	e.docker(t, "load", "-i", archive)
	if got := e.docker(t, "run", "--rm", "moved", "cat", "/file"); got != "kept" {
		t.Errorf("the moved image has %q", got)
	}
	e.docker(t, "rmi", "moved")

	e.configure(t, map[string]any{"containerd-snapshotter": false})
	e.becomes(t, stack.Stock)
	if got := e.docker(t, "start", "-a", "kept") + e.docker(t, "run", "--rm", "moved", "cat", "/file"); got != "kept" {
		t.Errorf("the graph driver has %q", got)
	}
}

// configure has only these features in daemon.json, and no storage driver, when the
// daemon starts again.
func (e *env) configure(t *testing.T, features map[string]any) {
	t.Helper()
	path := filepath.Join(e.Root(), "daemon.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	delete(config, "storage-driver")
	config["features"] = features
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text))
}

// mustLog checks that dockerd has logged these texts.
func (e *env) mustLog(t *testing.T, texts ...string) {
	t.Helper()
	log := e.LogTail(stack.Dockerd, 1000)
	for _, text := range texts {
		if !strings.Contains(log, text) {
			t.Errorf("dockerd does not log %s:\n%s", text, log)
		}
	}
}

// TestGraphDriverCommitPauses: Moby's own image service reads the container, which
// is paused for all of a commit unless the user does not want that.
func TestGraphDriverCommitPauses(t *testing.T) {
	e := newEnv(t, stack.Config{StorageDriver: "overlay2"}, "busybox")
	id := e.run(t, "busybox", "echo x > /x")
	if got := events(t, e, id, func() { e.docker(t, "commit", id) }); !slices.Equal(got, []string{"pause", "commit", "unpause"}) {
		t.Errorf("events were %v", got)
	}
	commitUnpaused(t, e)
}

// TestNoEmbeddedContainerd: the containerd that stock Moby 29 runs inside dockerd is
// not there, whether it is asked for or nothing else is found.
func TestNoEmbeddedContainerd(t *testing.T) {
	if l := line(t); l == engine.V28 {
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
