package integration_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

// frozenContent makes what the commits of this file read for a while.
const frozenContent = "mkdir /m; cd /m; for d in $(seq 40); do mkdir $d; for i in $(seq 500); do echo $i > $d/$i; done; done"

// whileFrozen commits a container and calls f when the commit has paused it.
func (e *env) whileFrozen(t *testing.T, id string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = output(e.Docker(t.Context(), "commit", id)) // f may end it
	}()
	defer func() { <-done }()
	for e.inspect(t, id, "{{.State.Paused}}") != "true" {
		select {
		case <-done:
			t.Fatal("the commit was over before the container was seen paused")
		case <-time.After(time.Millisecond):
		}
	}
	f()
}

// TestNotesOfAFrozenContainer: what is written down of a container while a
// commit has it paused does not say so afterwards.
func TestNotesOfAFrozenContainer(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", frozenContent)
	for _, args := range [][]string{{"rename", id, "renamed"}, {"kill", "-s", "URG", id}, {"update", "--restart", "no", id}} {
		e.whileFrozen(t, id, func() { e.docker(t, args...) })
		e.eventually(t, "docker ps to show it running after docker "+args[0], func() error {
			if got := e.docker(t, "ps", "-q", "--filter", "status=running"); got != id[:12] {
				return fmt.Errorf("running are %q, and its state is %s", got, e.inspect(t, id, "{{.State.Status}}"))
			}
			return nil
		})
	}
}

// TestKilledDaemonLetsAFrozenContainerEnd: without live-restore the next daemon
// ends the containers of a killed one. Those that a commit had paused can obey.
func TestKilledDaemonLetsAFrozenContainerEnd(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	dir := t.TempDir()
	id := e.run(t, "busybox", frozenContent+"; trap 'touch /out/obeyed; exit 0' TERM", "-v", dir+":/out")
	e.whileFrozen(t, id, func() {
		if err := e.KillDockerd(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "obeyed")); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was killed without having been asked to end, exit code %s", e.inspect(t, id, "{{.State.ExitCode}}"))
	} else if err != nil {
		t.Fatal(err)
	}
}
