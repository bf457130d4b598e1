package moves_test

import (
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/imageservice/revisions"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestDaemonStartsAfterCutMove starts the daemon on a container whose switch to
// another revision ended between its two halves.
func TestDaemonStartsAfterCutMove(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	before := e.State(t)
	id := e.Must(t, "create", "busybox", "sh", "-c", "cat /file; sleep 100")
	defer e.Remove(t, id)
	m := newMover(t, e, e.Client, id)
	m.do(t, "echo old > file")
	m.snapshot(t)
	m.do(t, "echo new > file")
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.CutSwitch(t, id, 1)
	if _, err := e.Client.SnapshotService(harness.Snapshotter).Stat(e.Context(t), id); !errdefs.IsNotFound(err) {
		t.Fatalf("the container has a snapshot: %v", err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "start", id)
	harness.Eventually(t, "the container to read its file", func() error { return harness.Expect(e.Must(t, "logs", id), "old") })
	e.Remove(t, id)
	e.Settled(t, before)
}

// TestRevisionsKeepImages removes the images of a container's revisions, and
// goes back to them.
func TestRevisionsKeepImages(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	before := e.State(t)
	e.BuildApps(t)
	id := e.Must(t, "create", "app:1")
	defer e.Remove(t, id)
	m := newMover(t, e, e.Client, id)
	m.do(t, change)
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	collect := func() {
		t.Helper()
		l, err := e.Client.LeasesService().Create(e.Context(t), leases.WithRandomID())
		if err == nil {
			err = e.Client.LeasesService().Delete(e.Context(t), l, leases.SynchronousDelete)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e.Must(t, "rmi", "-f", "app:1")
	e.Must(t, "image", "prune", "-f")
	collect()
	m.rollback(t, revisions.RollbackOptions{})
	e.Must(t, "rmi", "-f", "app:2")
	e.Must(t, "image", "prune", "-f")
	collect()
	m.has(t, "app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine")
	image := e.Must(t, "commit", id)
	if got := e.Must(t, "run", "--rm", image, "cat", "/app/version", "/app/conf"); got != "v1\nmine" {
		t.Errorf("the image that was committed has %q", got)
	}
	e.Must(t, "rmi", image)
	m.rollback(t, revisions.RollbackOptions{Revision: 2})
	m.has(t, "app/conf=mine", "app/only2=2", "app/version=v2", "data/a=mine")
	e.Remove(t, id)
	e.Must(t, "image", "prune", "-f")
	collect()
	e.Settled(t, before)
}

// TestRevisionsWithoutLayers keeps states of containers whose mounts do not
// tell what they changed.
func TestRevisionsWithoutLayers(t *testing.T) {
	const shift = "daemon:100000:65536\n"
	for _, c := range []struct {
		name      string
		config    stack.Config
		namespace string
	}{
		{"native", stack.Config{StorageDriver: "native"}, "moby"},
		{"userns-remap", stack.Config{
			Etc:          map[string]string{"subuid": shift, "subgid": shift},
			DaemonConfig: map[string]any{"userns-remap": "daemon"},
		}, "moby-100000.100000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := harness.Start(t, c.config, "busybox")
			client, err := containerd.New(e.ContainerdAddress(), containerd.WithDefaultNamespace(c.namespace))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			revisionsWithoutLayers(t, e, client)
		})
	}
}

func revisionsWithoutLayers(t *testing.T, e *harness.Env, client *containerd.Client) {
	id := e.Must(t, "create", "busybox", "sleep", "100")
	defer e.Remove(t, id)
	e.Must(t, "start", id)
	e.Must(t, "exec", id, "sh", "-c", "mkdir data; echo 1 > data/a; rm -r /bin/wget")
	e.Must(t, "kill", id)
	m := newMover(t, e, client, id)
	m.ctr.Running = false // the daemon may write so later
	want := e.Must(t, "diff", id)
	if !strings.Contains(want, "A /data/a") || !strings.Contains(want, "D /bin/wget") {
		t.Fatalf("docker diff prints %s", want)
	}
	m.snapshot(t)
	if got := e.Must(t, "diff", id); got != want {
		t.Errorf("after a snapshot docker diff prints\n%s\nwant\n%s", got, want)
	}
	m.do(t, "cp -p data/a data/b; echo 2 > data/b") // of the same owner
	if got := strings.Split(e.Must(t, "diff", id), "\n"); !slices.Contains(got, "A /data/a") || !slices.Contains(got, "A /data/b") {
		t.Errorf("docker diff prints %q", got)
	}
	image := e.Must(t, "commit", id)
	defer e.Must(t, "rmi", image)
	if got := e.Must(t, "run", "--rm", image, "sh", "-c", "cat /data/*; ls /bin/wget 2>/dev/null || true"); got != "1\n2" {
		t.Errorf("the image has %q", got)
	}
	m.rollback(t, revisions.RollbackOptions{Revision: 1})
	m.has(t, "data/a=1")
	e.Must(t, "start", id)
	if got := e.Must(t, "exec", id, "sh", "-c", "cat /data/*"); got != "1" {
		t.Errorf("the container reads %q", got)
	}
	e.Must(t, "kill", id)
	m.ctr.Running = false
	_, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, revisions.UpgradeOptions{Image: "busybox:latest"})
	if m.ctr.Driver != harness.Snapshotter && !errdefs.IsNotImplemented(err) {
		t.Errorf("an upgrade where changes cannot be told gave %v", err)
	}
}

// TestRevisionsOnStock gives a container that has moved to stock Moby.
func TestRevisionsOnStock(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApps(t)
	before := e.State(t)
	id := e.Must(t, "create", "app:1", "sh", "-c", "cat /app/* /data/*; sleep 100")
	defer e.Remove(t, id)
	m := newMover(t, e, e.Client, id)
	m.do(t, change)
	m.snapshot(t)
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	m.do(t, "echo more > data/b")
	m.snapshot(t)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), stack.Stock); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "start", id)
	harness.Eventually(t, "the container to read its files", func() error {
		return harness.Expect(e.Must(t, "logs", id), "mine\n2\nv2\nmine\nmore")
	})
	e.Remove(t, id)
	e.Settled(t, before)
}
