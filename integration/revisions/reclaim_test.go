package revisions_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestPruneCountsWhatItGivesBack: an upgraded container has copies of what it wrote
// before, so pruning the revision that it left gives that back, and what only that has.
func TestPruneCountsWhatItGivesBack(t *testing.T) {
	const size = 8 << 20
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "RUN echo 1 > /file\n")
	e.BuildApp(t, "app:2", "RUN echo 2 > /file\n")
	id := e.Must(t, "create", "app:1", "sh", "-c", "[ -e /big ] || dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null")
	defer e.Remove(t, id)
	e.Must(t, "start", "-a", id)
	e.Upgrade(t, id, api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
	prune := func() (r api.PruneReport) {
		e.Call(t, http.MethodPost, harness.APIVersion+"/containers/"+id+"/revisions/prune", api.PruneRequest{}, &r)
		return r
	}
	if r := prune(); len(r.Removed) == 0 || r.SpaceReclaimed < size || r.SpaceReclaimed > 2*size {
		t.Errorf("pruning what was copied: %+v", r)
	}
	other := filepath.Join(t.TempDir(), "other")
	harness.WriteFile(t, other, strings.Repeat("x", size))
	e.Must(t, "cp", other, id+":/other")
	e.Rollback(t, id, api.RollbackRequest{Revision: e.Revisions(t, id)[0].Number})
	if r := prune(); r.SpaceReclaimed < size {
		t.Errorf("pruning what only a revision has: %+v", r)
	}
	if changes := e.Must(t, "diff", id); !strings.Contains(changes, "A /big") {
		t.Errorf("docker diff prints\n%s", changes)
	}
}
