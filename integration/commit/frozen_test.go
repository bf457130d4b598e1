package commit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// frozenContent makes what the commits of this file read for a while.
const frozenContent = "mkdir /m; cd /m; for d in $(seq 40); do mkdir $d; for i in $(seq 250); do echo $i > $d/$i; done; done"

// whileFrozen commits a container and calls f when the commit has frozen it.
// It returns what the commit printed. The daemon does not call it paused.
func whileFrozen(t *testing.T, e *harness.Env, id string, f func()) (out string, err error) {
	t.Helper()
	groups, err := stack.CgroupsOf(id)
	if err != nil || len(groups) == 0 {
		t.Fatalf("the container has no cgroup: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, err = harness.Output(e.Docker(t.Context(), "commit", id))
	}()
	for {
		frozen, err := stack.IsFrozen(groups)
		if err != nil {
			t.Fatal(err)
		}
		if frozen {
			break
		}
		select {
		case <-done:
			t.Fatal("the commit was over before the container was seen frozen")
		case <-time.After(time.Millisecond):
		}
	}
	if got := e.Inspect(t, id, "{{.State.Status}} {{.State.Paused}}"); got != "running false" {
		t.Errorf("while it is frozen the container is %s", got)
	}
	f()
	<-done
	return out, err
}

// TestNotesOfAFrozenContainer: what is written down of a container while a
// commit has it paused does not say so afterwards.
func TestNotesOfAFrozenContainer(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", frozenContent)
	for _, args := range [][]string{{"rename", id, "renamed"}, {"kill", "-s", "URG", id}, {"update", "--restart", "no", id}} {
		if out, err := whileFrozen(t, e, id, func() { e.Must(t, args...) }); err != nil {
			t.Errorf("commit: %v: %s", err, out)
		}
		harness.Eventually(t, "docker ps to show it running after docker "+args[0], func() error {
			if got := e.Must(t, "ps", "-q", "--filter", "status=running"); got != id[:12] {
				return fmt.Errorf("running are %q, and its state is %s", got, e.Inspect(t, id, "{{.State.Status}}"))
			}
			return nil
		})
	}
}

// TestKilledDaemonLetsAFrozenContainerEnd: without live-restore the next daemon
// ends the containers of a killed one. Those that a commit had paused can obey.
func TestKilledDaemonLetsAFrozenContainerEnd(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	dir := t.TempDir()
	id := e.Run(t, "busybox", frozenContent+"; trap 'touch /out/obeyed; exit 0' TERM", "-v", dir+":/out")
	_, _ = whileFrozen(t, e, id, func() { // it fails, unless it was over already
		if err := e.KillDockerd(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "obeyed")); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was killed without having been asked to end, exit code %s", e.Inspect(t, id, "{{.State.ExitCode}}"))
	} else if err != nil {
		t.Fatal(err)
	}
}

// TestOrdersWhileFrozen gives orders to a container that a commit has stopped:
// they wait for its end, and do not fail as with one that its user has paused.
func TestOrdersWhileFrozen(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", frozenContent+"; trap 'exit 7' TERM")
	for _, order := range []struct {
		args        []string
		says, state string // what it says at the end, and what the container is then
	}{
		{[]string{"exec", id, "echo", "works"}, "works", "running"},
		{[]string{"update", "--pids-limit", "100", id}, "", "running"},
		{[]string{"unpause", id}, "is not paused", "running"},
		{[]string{"pause", id}, "", "paused"},
		{[]string{"stop", id}, "", "exited"},
	} {
		var said string
		out, err := whileFrozen(t, e, id, func() { said, _ = e.Try(t, order.args...) })
		if err != nil {
			t.Errorf("commit: %v: %s", err, out)
		}
		if !strings.Contains(said, order.says) {
			t.Errorf("docker %s says %q", order.args[0], said)
		}
		if got := e.Inspect(t, id, "{{.State.Status}}"); got != order.state {
			t.Errorf("after docker %s the container is %s", order.args[0], got)
		}
		if order.state == "paused" {
			e.Must(t, "unpause", id)
		}
	}
	if code := e.Inspect(t, id, "{{.State.ExitCode}}"); code != "7" {
		t.Errorf("it ended with %s, and not as its trap says", code)
	}
}

// TestRemovalWhileFrozen removes a container while a commit reads its files,
// which are many. That gives an image with all of them, or none.
func TestRemovalWhileFrozen(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	const count = "find /m -type f | wc -l"
	for range 3 {
		id := e.Run(t, "busybox", frozenContent)
		out, err := whileFrozen(t, e, id, func() { e.Must(t, "rm", "-f", id) })
		if err != nil {
			t.Logf("the commit failed: %s", out)
			continue
		}
		if got := e.Must(t, "run", "--rm", out, "sh", "-c", count); got != "10000" {
			t.Errorf("the image has %s of 10000 files", got)
		}
	}
}
