package revisions_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestImagesOfRevisionsAreInUse: an image that only a kept revision is of is
// neither pruned nor removed, unless by force, and then the revision still has
// all that it needs.
func TestImagesOfRevisionsAreInUse(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "ENV FROM_IMAGE=1\n")
	e.BuildApp(t, "app:2", "")
	before := e.State(t)
	start(t, e, "web", "app:1")
	_, result := e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2"})
	id := e.Must(t, "image", "inspect", "-f", "{{.Id}}", "app:1")

	for _, ref := range []string{"app:1", id, strings.TrimPrefix(id, "sha256:")[:12]} {
		out, err := e.Try(t, "rmi", ref)
		if err == nil || !strings.Contains(out, "conflict: unable to delete "+ref+" (must be forced) - image is being used by web (revision 1)") {
			t.Errorf("docker rmi %s: %v\n%s", ref, err, out)
		}
	}
	if out, err := e.Try(t, "rmi", "app:2"); err == nil || strings.Contains(out, "revision") {
		t.Errorf("docker rmi of the image that the container is of: %v\n%s", err, out)
	}
	// Another name of it may go.
	e.Must(t, "tag", "app:1", "other")
	e.Must(t, "rmi", "other")
	e.Must(t, "image", "prune", "-f", "-a")
	if left := e.Must(t, "image", "ls", "-q", "app:1"); left == "" {
		t.Error("the image of a revision was pruned")
	}
	if status, answer := e.Request(t, http.MethodDelete, "/images/app:1", ""); status != http.StatusConflict {
		t.Errorf("removal of the image: %d %s", status, answer)
	}

	// The same after a restart of the daemon, which has to learn it again.
	e.RestartDockerd(t)
	e.Must(t, "start", "web")
	if out, err := e.Try(t, "rmi", "app:1"); err == nil {
		t.Errorf("after a restart docker rmi prints\n%s", out)
	}
	e.Must(t, "rmi", "-f", "app:1")
	e.Must(t, "image", "prune", "-f")
	e.Rollback(t, "web", api.RollbackRequest{Revision: result.Before.Number})
	e.MustRead(t, "web", "/version", "app:1")
	if env := e.Inspect(t, "web", "{{.Image}} {{.Config.Env}}"); !strings.HasPrefix(env, id) || !strings.Contains(env, "FROM_IMAGE=1") {
		t.Errorf("back on the image that was removed the container has %s", env)
	}
	e.Must(t, "rm", "-f", "web")
	e.Must(t, "image", "prune", "-f")
	after := e.State(t)
	for _, s := range after.Snapshots {
		if strings.Contains(s, ".r") {
			t.Errorf("after the container was removed there is snapshot %s", s)
		}
	}
	if len(after.Leases) > len(before.Leases) {
		t.Errorf("there were leases %v and are %v", before.Leases, after.Leases)
	}
}

// TestPrunedRevisionsFreeTheirImages: without the revision the image can go.
func TestPrunedRevisionsFreeTheirImages(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	start(t, e, "web", "app:1")
	e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2"})
	if out, err := e.Try(t, "rmi", "app:1"); err == nil {
		t.Errorf("before pruning docker rmi prints\n%s", out)
	}
	var report api.PruneReport
	e.Call(t, http.MethodPost, "/containers/web/revisions/prune", api.PruneRequest{}, &report)
	if len(report.Removed) != 1 || report.Removed[0] != 1 {
		t.Errorf("pruned %+v", report)
	}
	e.Must(t, "rmi", "app:1")
	e.MustRead(t, "web", "/version", "app:2")
}

// TestRecordIsReconciled: a daemon that ended after a switch of the files and
// before it had written the record finds out when it starts.
func TestRecordIsReconciled(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "RUN mkdir /cache && echo cached > /cache/x\nVOLUME /cache\nENV FROM_IMAGE=2\n")
	e.Must(t, "create", "--name", "web", "-e", "MINE=1", "app:1")
	t.Cleanup(func() { e.Remove(t, "web") })
	record := filepath.Join(e.DataRoot(), "containers", e.Inspect(t, "web", "{{.Id}}"), "config.v2.json")
	old, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2"})
	format := "{{json .Config}} {{.Image}} {{json .ImageManifestDescriptor}} {{.Path}} {{.Args}}"
	want := e.Inspect(t, "web", format)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.Inspect(t, "web", format); got != want {
		t.Errorf("docker inspect says\n%s\nwant\n%s", got, want)
	}
	if mounts := e.Inspect(t, "web", "{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}"); mounts != "volume /cache" {
		t.Errorf("the mounts are %q", mounts)
	}
	e.Must(t, "start", "web")
	e.MustRead(t, "web", "/version", "app:2")
	e.MustRead(t, "web", "/cache/x", "cached")
}

// TestUpgradedContainersUnderStock: stock starts them on the state that they
// were on, and removes all of it. (It takes what a container has written since
// its last revision for all that it has written, in docker diff and commit.)
func TestUpgradedContainersUnderStock(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "ENV FROM_IMAGE=2\n")
	before := e.State(t)
	for _, name := range []string{"upgraded", "back", "snapped"} {
		start(t, e, name, "app:1")
		e.Must(t, "exec", name, "sh", "-c", "echo of "+name+" > /data/file; rm /etc/group")
		e.Snapshot(t, name, "")
	}
	e.Upgrade(t, "upgraded", api.UpgradeRequest{Image: "app:2"})
	e.Upgrade(t, "back", api.UpgradeRequest{Image: "app:2"})
	e.Must(t, "exec", "back", "sh", "-c", "echo later > /data/file")
	e.Rollback(t, "back", api.RollbackRequest{})
	want := map[string]string{"upgraded": "app:2", "back": "app:1", "snapped": "app:1"}
	check := func() {
		t.Helper()
		for name, image := range want {
			e.Must(t, "start", name)
			e.MustRead(t, name, "/version", image)
			e.MustRead(t, name, "/data/file", "of "+name)
			if out, err := e.Try(t, "exec", name, "ls", "/etc/group"); err == nil {
				t.Errorf("%s has again what was deleted: %s", name, out)
			}
			tellsTheTruthPlainly(t, e, name, image)
			e.Must(t, "stop", "-t", "1", name)
		}
	}
	e.SwitchTo(t, stack.Stock)
	check()
	e.SwitchTo(t, stack.Fork)
	check()
	if n := len(e.Revisions(t, "back")); n < 4 {
		t.Errorf("after stock there are %d revisions of back", n)
	}
	e.SwitchTo(t, stack.Stock)
	e.Must(t, "rm", "-f", "upgraded", "back", "snapped")
	e.Settled(t, before)
}

// TestSnapshotsAmongReaders: snapshots of a stopped container whose files are
// looked at all the time. Who uses its root is counted right all the same: at
// the end nobody does, and it starts on its files.
func TestSnapshotsAmongReaders(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	before := e.State(t)
	e.Must(t, "create", "--name", "web", "app:1")
	t.Cleanup(func() { e.Remove(t, "web") })
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	var readers sync.WaitGroup
	var looks atomic.Int64
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for ctx.Err() == nil {
				resp, err := e.Open(t.Context(), http.MethodHead, "/containers/web/archive?path=/version", "")
				if err != nil {
					t.Error(err)
					return
				}
				looks.Add(1)
				if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("look at a file: %s, %v", resp.Status, err)
				}
			}
		}()
	}
	made := 0
	for ; ctx.Err() == nil; made++ {
		status, answer := e.Request(t, http.MethodPost, "/containers/web/snapshot", "")
		// To look at a file the daemon makes a folder in the root for a moment.
		if status != http.StatusCreated && !strings.Contains(answer, "changed while it was read: seal .pivot_root") {
			t.Errorf("snapshot: %d %s", status, answer)
		}
	}
	readers.Wait()
	t.Logf("%d snapshots among %d looks", made, looks.Load())
	if mounts := e.Mounts(t); len(mounts) != len(before.Mounts) {
		t.Errorf("there were mounts %q and are %q", before.Mounts, mounts)
	}
	e.Must(t, "start", "web")
	e.MustRead(t, "web", "/version", "app:1")
	e.Must(t, "rm", "-f", "web")
	e.Settled(t, before)
}
