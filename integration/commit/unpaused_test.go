package commit_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCommitOfAFileThatChanges: without a pause, a file that is written all the
// time is an error that names it, or whole; never cut, and never filled up.
func TestCommitOfAFileThatChanges(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Must(t, "run", "-d", "busybox", "sh", "-c", `
		dd if=/dev/zero of=/calm bs=1M count=8 2>/dev/null
		while :; do dd if=/dev/urandom of=/busy bs=64k count=400 2>/dev/null; done`)
	defer e.Remove(t, id)
	before := e.State(t)
	failed := 0
	for range 5 {
		out, err := e.Try(t, "commit", harness.NoPauseOption(t), id)
		if err != nil {
			failed++
			if !strings.Contains(out, "busy") || !strings.Contains(out, "changed while it was read") {
				t.Errorf("the commit failed with %q", out)
			}
			continue
		}
		if got := e.Must(t, "run", "--rm", out, "sh", "-c", "stat -c %s /calm"); got != "8388608" {
			t.Errorf("the other file has %s bytes", got)
		}
		e.Must(t, "rmi", out)
	}
	t.Logf("%d of 5 commits met the file while it changed", failed)
	e.Settled(t, before)

	// Paused, it is whole in any case.
	e.Must(t, "rmi", e.Must(t, "commit", id))
}
