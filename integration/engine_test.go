package integration_test

import (
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

// stockMapsIDs skips a test that needs a stock daemon with userns-remap on the
// containerd store.
func stockMapsIDs(t *testing.T) {
	t.Helper()
	if l := line(t); l == engine.V29 {
		t.Skipf("stock Moby %s refuses userns-remap on the containerd store", l)
	}
}

// TestGraphDriverSaysHowToMove: without the containerd store Baleen has no part in
// images. The log says so, and what to do with those that are there.
func TestGraphDriverSaysHowToMove(t *testing.T) {
	e := newEnv(t, stack.Config{StorageDriver: "overlay2"}, "busybox")
	log := e.LogTail(stack.Dockerd, 1000)
	for _, step := range []string{"Baleen's image service is not in use", "docker save", "docker commit", `\"containerd-snapshotter\": true`, "docker load"} {
		if !strings.Contains(log, step) {
			t.Errorf("dockerd on a graph driver does not log %s:\n%s", step, log)
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
