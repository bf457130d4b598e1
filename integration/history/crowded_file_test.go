package history_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
)

// refuseCrowdedFile upgrades a container one of whose files has more attributes than a merge
// takes along: that is refused with the path, and the container runs on.
func refuseCrowdedFile(t *testing.T, e *harness.Env) {
	t.Helper()
	id := e.Create(t, "busybox", "sh", "-c", "trap 'exit 0' TERM; touch /crowded; x=$(head -c 61440 /dev/zero | tr '\\0' x); "+
		"for i in $(seq 17); do /fstool setxattr user.$i $x /crowded; done; echo ready; while :; do sleep 0.1; done")
	e.Must(t, "cp", harness.BuildFSTool(t), id+":/fstool")
	e.Must(t, "commit", "--change", "ENV next=1", id, "next")
	e.Must(t, "start", id)
	harness.Eventually(t, "a file with many attributes", func() error {
		if logs := e.Must(t, "logs", id); logs != "ready" {
			return fmt.Errorf("so far it printed %q", logs)
		}
		return nil
	})
	const runs = "{{.State.Running}} {{.State.StartedAt}}"
	before := e.Inspect(t, id, runs)
	if out, err := e.Try(t, "baleen", "upgrade", id, "next"); err == nil || !strings.Contains(out, "crowded: read xattr user.") || !strings.Contains(out, "extended attributes too large") {
		t.Errorf("the upgrade says %v: %s", err, out)
	}
	if got := e.Inspect(t, id, runs); got != before {
		t.Errorf("it was %s and is %s", before, got)
	}
	e.Must(t, "rm", "-f", id)
	e.Must(t, "rmi", "next")
}
