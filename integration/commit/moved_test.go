package commit_test

import (
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
)

// TestCommitOfAContainerThatMoves upgrades a container while a commit of it has
// looked up its upper and not read it, which is then another one's.
func TestCommitOfAContainerThatMoves(t *testing.T) {
	e, proxy := harness.StartFaulty(t, "busybox")
	e.BuildApp(t, "app:1", "RUN echo 1 > /image\n")
	e.BuildApp(t, "app:2", "RUN echo 2 > /image\n")
	id := e.Must(t, "create", "app:1", "sh", "-c", "echo mine > /state")
	defer e.Remove(t, id)
	e.Must(t, "start", "-a", id)
	moved := false
	proxy.Set(fault.Plan{Methods: []string{"Snapshots/Prepare"}, Nth: 1, Pass: true, Do: func() {
		e.Upgrade(t, id, api.UpgradeRequest{Image: "app:2"})
		moved = true
	}})
	image := e.Must(t, "commit", id)
	proxy.Clear()
	if !moved {
		t.Fatal("the container did not move meanwhile")
	}
	if got := e.Must(t, "run", "--rm", image, "cat", "/state"); got != "mine" {
		t.Errorf("the image has %q", got)
	}
}
