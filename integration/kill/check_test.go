package kill_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// checked runs docker baleen check, and returns what it finds as a program reads it.
func checked(t *testing.T, e *harness.Env, status int, options ...string) (report api.CheckReport) {
	t.Helper()
	cmd := e.Docker(t.Context(), append([]string{"baleen", "check", "--json"}, options...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("the status of docker baleen check is %d, want %d: %s%s", got, status, out, said.String())
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("docker baleen check --json prints %q: %v", out, err)
	}
	return report
}

func findings(r api.CheckReport) (found []string) {
	for _, f := range r.Findings {
		found = append(found, fmt.Sprint(f.Kind, " ", f.Object))
	}
	slices.Sort(found)
	return found
}

// TestCheck spoils what the daemon has in containerd. The check says what is wrong and
// repairs what it can; what is there then is counted by containerd's own client.
func TestCheck(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApps(t)
	id := e.Must(t, "create", "--name", "web", "app:1")
	defer e.Remove(t, id)
	for _, message := range []string{"1", "2"} {
		e.Snapshot(t, "web", message)
	}
	e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", NoStart: true}) // 3 is what was before, 4 the new one
	e.Must(t, "commit", "web", "committed")
	if r := checked(t, e, 0, "--content"); r.Found != 0 || r.Looked.Containers != 1 || r.Looked.Revisions != 4 || r.Looked.Images < 4 || r.Looked.Blobs == 0 || r.Looked.Bytes == 0 {
		t.Errorf("of a daemon with which nothing is wrong it says %+v", r)
	}
	before := e.State(t)
	ctx, manager, sn := e.Context(t), e.Client.LeasesService(), e.Client.SnapshotService(harness.Snapshotter)
	leaked, err := manager.Create(ctx, leases.WithID("leaked"), leases.WithLabels(map[string]string{
		"io.baleen.operation": "commit", "io.baleen.object": id, "io.baleen.owner": e.Must(t, "info", "-f", "{{.ID}}"),
	}))
	if err == nil {
		_, err = sn.Prepare(leases.WithLease(ctx, leaked.ID), id+"-parent-left", "")
	}
	if err == nil { // as a snapshot that a crash cut short
		_, err = sn.Prepare(leases.WithLease(ctx, id), id+".r9-key", id+".r4", snapshots.WithLabels(map[string]string{"io.baleen.container": id}))
	}
	// Without the label containerd collects it before the check can have the lease hold it.
	label(t, e, id+".r3", "containerd.io/gc.root", "test")
	if err == nil {
		err = manager.DeleteResource(ctx, leases.Lease{ID: id}, leases.Resource{ID: id + ".r3", Type: "snapshots/" + harness.Snapshotter})
	}
	if err != nil {
		t.Fatal(err)
	}
	unknown := digest.FromString(id) // as a crash leaves it that came before containerd had a record of it
	harness.WriteFile(t, filepath.Join(e.ContainerdRoot(), "io.containerd.content.v1.content", "blobs", "sha256", unknown.Encoded()), id)
	want := []string{"blob-unknown " + unknown.String(), "lease-leaked leaked", "move-unfinished " + id, "snapshot-unheld " + id + ".r3"}
	for _, options := range [][]string{nil, {"--content"}} { // to look changes nothing
		if r := checked(t, e, 1, options...); !slices.Equal(findings(r), want) || r.Left != 4 {
			t.Errorf("found %q, want %q: %+v", findings(r), want, r)
		}
	}
	if r := checked(t, e, 0, "--repair"); !slices.Equal(findings(r), want) || r.Left != 0 {
		t.Errorf("repaired %q, want %q: %+v", findings(r), want, r)
	}
	label(t, e, id+".r3", "containerd.io/gc.root", "")
	e.Settled(t, before)
	e.Must(t, "rm", e.Must(t, "create", "app:1")) // collects garbage
	e.Rollback(t, "web", api.RollbackRequest{Revision: 3, NoStart: true})
	e.Consistent(t)
	checkedLosses(t, e, id)
}

// checkedLosses takes away what nobody can bring back.
func checkedLosses(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	info, err := e.Client.SnapshotService(harness.Snapshotter).Stat(e.Context(t), id+".r2")
	record := digest.Digest(info.Labels["io.baleen.revision"])
	if err == nil {
		err = e.Client.ContentStore().Delete(e.Context(t), record)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.CollectGarbage(t) // the file of the record goes, too
	want := []string{"record-unreadable " + id + ".r2"}
	if r := checked(t, e, 1, "--repair"); !slices.Equal(findings(r), want) || r.Findings[0].Repairable || r.Findings[0].Container != id {
		t.Errorf("found %q, want %q: %+v", findings(r), want, r)
	}
	if out, err := e.Docker(t.Context(), "baleen", "check", "-q").Output(); err == nil || string(out) != want[0]+"\n" {
		t.Errorf("the quiet check prints %q: %v", out, err)
	}
	e.Remove(t, id)
	e.Consistent(t)
}

// TestCheckBesideOperations: a check finds nothing while containers run, are committed,
// kept, upgraded, rolled back, copied from and removed.
func TestCheckBesideOperations(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApps(t)
	const patience = 10 * time.Second
	end := time.Now().Add(patience)
	lives := []struct {
		name  string
		steps [][]string
	}{
		{"runs", [][]string{
			{"run", "-d", "--name", "runs", "app:1"}, {"exec", "runs", "sh", "-c", "echo more > /more"}, {"commit", "runs", "ran"},
			{"baleen", "snapshot", "runs"}, {"diff", "runs"}, {"rm", "-f", "runs"}, {"rmi", "ran"},
		}},
		{"moves", [][]string{
			{"create", "--name", "moves", "app:1"}, {"baleen", "snapshot", "moves"}, {"baleen", "upgrade", "--no-start", "moves", "app:2"},
			{"baleen", "rollback", "--no-start", "moves"}, {"baleen", "prune", "-f", "moves"}, {"cp", "moves:/app/version", "-"}, {"rm", "-f", "moves"},
		}},
		{"runs and moves", [][]string{
			{"run", "-d", "--name", "both", "app:1"}, {"baleen", "upgrade", "both", "app:2"}, {"baleen", "checkpoint", "--no-process", "both", "kept"},
			{"rm", "-f", "both"}, {"baleen", "restore", "--create-only", "--name", "both", "kept"}, {"rm", "-f", "both"}, {"rmi", "kept"},
		}},
	}
	var all, checks errgroup.Group
	rounds := make([]int, len(lives))
	for i, life := range lives {
		all.Go(func() error {
			for time.Now().Before(end) {
				for _, args := range life.steps {
					if out, err := e.Try(t, args...); err != nil {
						return fmt.Errorf("%s: docker %s: %w: %s", life.name, strings.Join(args, " "), err, out)
					}
				}
				rounds[i]++
			}
			return nil
		})
	}
	done := 0
	checks.Go(func() error {
		for time.Now().Before(end) {
			if err := e.Inconsistent(t); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	if err := errors.Join(all.Wait(), checks.Wait()); err != nil {
		t.Error(err)
	}
	if done == 0 || slices.Contains(rounds, 0) {
		t.Errorf("%d checks beside %v rounds", done, rounds)
	}
	t.Logf("%d checks beside %v rounds", done, rounds)
	e.Consistent(t)
}
