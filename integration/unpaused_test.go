package integration_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestCommitOfAFileThatChanges: without a pause, a file that is written all the
// time is an error that names it, or whole; never cut, and never filled up.
func TestCommitOfAFileThatChanges(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.docker(t, "run", "-d", "busybox", "sh", "-c", `
		dd if=/dev/zero of=/calm bs=1M count=8 2>/dev/null
		while :; do dd if=/dev/urandom of=/busy bs=64k count=400 2>/dev/null; done`)
	defer e.remove(t, id)
	before := e.state(t)
	failed := 0
	for range 5 {
		out, err := e.try(t, "commit", noPause(t), id)
		if err != nil {
			failed++
			if !strings.Contains(out, "busy") || !strings.Contains(out, "changed while it was read") {
				t.Errorf("the commit failed with %q", out)
			}
			continue
		}
		if got := e.docker(t, "run", "--rm", out, "sh", "-c", "stat -c %s /calm"); got != "8388608" {
			t.Errorf("the other file has %s bytes", got)
		}
		e.docker(t, "rmi", out)
	}
	t.Logf("%d of 5 commits met the file while it changed", failed)
	e.settled(t, before)

	// Paused, it is whole in any case.
	e.docker(t, "rmi", e.docker(t, "commit", id))
}
