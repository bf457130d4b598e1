package integration_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestPruneCountsWhatItGivesBack: an upgraded container has copies of what it wrote
// before, so pruning the revision that it left gives that back, and what only that has.
func TestPruneCountsWhatItGivesBack(t *testing.T) {
	const size = 8 << 20
	e := newEnv(t, stack.Config{}, "busybox")
	e.app(t, "app:1", "RUN echo 1 > /file\n")
	e.app(t, "app:2", "RUN echo 2 > /file\n")
	id := e.docker(t, "create", "app:1", "sh", "-c", "[ -e /big ] || dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null")
	defer e.remove(t, id)
	e.docker(t, "start", "-a", id)
	e.upgrade(t, id, api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
	prune := func() (r api.PruneReport) {
		e.call(t, http.MethodPost, version+"/containers/"+id+"/revisions/prune", api.PruneRequest{}, &r)
		return r
	}
	if r := prune(); len(r.Removed) == 0 || r.SpaceReclaimed < size || r.SpaceReclaimed > 2*size {
		t.Errorf("pruning what was copied: %+v", r)
	}
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, strings.Repeat("x", size))
	e.docker(t, "cp", other, id+":/other")
	e.rollback(t, id, api.RollbackRequest{Revision: e.revisions(t, id)[0].Number})
	if r := prune(); r.SpaceReclaimed < size {
		t.Errorf("pruning what only a revision has: %+v", r)
	}
	if changes := e.docker(t, "diff", id); !strings.Contains(changes, "A /big") {
		t.Errorf("docker diff prints\n%s", changes)
	}
}
