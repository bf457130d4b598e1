package kill_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKilledCreate kills dockerd before each call to containerd by which creating a
// container changes something, and containerd before every third; with
// BALEEN_KILL_ALL set before all calls. Afterwards, when dockerd has started once
// more, the container is there and starts, or nothing is.
func TestKilledCreate(t *testing.T) {
	e, p := harness.StartFaultyWith(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	before := e.State(t)
	whole, none := 0, 0
	for d, step := range map[stack.Daemon]int{stack.Dockerd: 1, stack.Containerd: 3} {
		if harness.KillAll() {
			step = 1
		}
		for n := 1; ; n += step {
			where, failed := e.KillIn(t, p, d, n, "create", "--name", "made", "busybox", "sleep", "100")
			at := fmt.Sprintf("%s killed before call %d, %s", d, n, where)
			if d == stack.Containerd { // what cannot be removed meanwhile is by the next start
				if err := errors.Join(e.KillDockerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			if there := e.Must(t, "ps", "-aq"); there != "" {
				whole++
				e.Must(t, "start", "made")
				e.Remove(t, "made")
			} else if none++; failed == nil {
				t.Errorf("%s: there is no container, and it was said to be created", at)
			}
			e.SettledBut(t, at, before)
			e.Consistent(t)
			if left, err := os.ReadDir(filepath.Join(e.DataRoot(), "containers")); err != nil || len(left) > 0 {
				t.Errorf("%s: folders are left: %v %v", at, left, err)
			}
			if where == "" {
				break
			}
		}
	}
	t.Logf("%d times there was the container, %d times nothing", whole, none)
}
