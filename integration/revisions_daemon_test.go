package integration_test

import (
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/integration/stack"
)

// history is what the daemon has of a container's revisions.
func (e *env) history(t *testing.T, id string) *containerstore.History {
	t.Helper()
	return &containerstore.History{
		Container: id, Snapshotter: snapshotter, Snapshots: e.client.SnapshotService(snapshotter),
		Content: e.client.ContentStore(), Leases: e.client.LeasesService(), Tasks: e.client.TaskService(), Lease: id, Differ: e.client.DiffService(),
	}
}

// cutSwitch has a switch of a container to a revision end between its two halves. No
// dockerd runs.
func (e *env) cutSwitch(t *testing.T, id string, to int) {
	t.Helper()
	ctx, done, err := e.client.WithLease(e.ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	h := e.history(t, id)
	for at := 1; ; at++ {
		c := &cut{at: at, after: true}
		h.Snapshots = cutSnapshots{e.client.SnapshotService(snapshotter), c}
		_, err := h.Switch(ctx, to, record("before"))
		if err == nil {
			t.Fatal("no call was the one between the halves")
		}
		if c.where == "remove" {
			break
		}
		if err := e.history(t, id).Recover(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := done(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDaemonStartsAfterCutMove starts the daemon on a container whose switch to
// another revision ended between its two halves.
func TestDaemonStartsAfterCutMove(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	before := e.state(t)
	id := e.docker(t, "create", "busybox", "sh", "-c", "cat /file; sleep 100")
	defer e.remove(t, id)
	m := newMover(t, e, e.client, id)
	m.do(t, "echo old > file")
	m.snapshot(t)
	m.do(t, "echo new > file")
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.cutSwitch(t, id, 1)
	if _, err := e.client.SnapshotService(snapshotter).Stat(e.ctx(t), id); !errdefs.IsNotFound(err) {
		t.Fatalf("the container has a snapshot: %v", err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.docker(t, "start", id)
	e.eventually(t, "the container to read its file", func() error { return expect(e.docker(t, "logs", id), "old") })
	e.remove(t, id)
	e.settled(t, before)
}

func expect(got, want string) error {
	if got != want {
		return &unexpected{got, want}
	}
	return nil
}

type unexpected struct{ got, want string }

func (u *unexpected) Error() string { return "it is " + u.got + ", not " + u.want }

// TestRevisionsKeepImages removes the images of a container's revisions, and
// goes back to them.
func TestRevisionsKeepImages(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	before := e.state(t)
	e.buildApps(t)
	id := e.docker(t, "create", "app:1")
	defer e.remove(t, id)
	m := newMover(t, e, e.client, id)
	m.do(t, change)
	move, err := m.service.PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	collect := func() {
		t.Helper()
		l, err := e.client.LeasesService().Create(e.ctx(t), leases.WithRandomID())
		if err == nil {
			err = e.client.LeasesService().Delete(e.ctx(t), l, leases.SynchronousDelete)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e.docker(t, "rmi", "-f", "app:1")
	e.docker(t, "image", "prune", "-f")
	collect()
	m.rollback(t, imageservice.RollbackOptions{})
	e.docker(t, "rmi", "-f", "app:2")
	e.docker(t, "image", "prune", "-f")
	collect()
	m.has(t, "app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine")
	image := e.docker(t, "commit", id)
	if got := e.docker(t, "run", "--rm", image, "cat", "/app/version", "/app/conf"); got != "v1\nmine" {
		t.Errorf("the image that was committed has %q", got)
	}
	e.docker(t, "rmi", image)
	m.rollback(t, imageservice.RollbackOptions{Revision: 2})
	m.has(t, "app/conf=mine", "app/only2=2", "app/version=v2", "data/a=mine")
	e.remove(t, id)
	e.docker(t, "image", "prune", "-f")
	collect()
	e.settled(t, before)
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
			e := newEnv(t, c.config, "busybox")
			client, err := containerd.New(e.ContainerdAddress(), containerd.WithDefaultNamespace(c.namespace))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			revisionsWithoutLayers(t, e, client)
		})
	}
}

func revisionsWithoutLayers(t *testing.T, e *env, client *containerd.Client) {
	id := e.docker(t, "create", "busybox", "sleep", "100")
	defer e.remove(t, id)
	e.docker(t, "start", id)
	e.docker(t, "exec", id, "sh", "-c", "mkdir data; echo 1 > data/a; rm -r /bin/wget")
	e.docker(t, "kill", id)
	m := newMover(t, e, client, id)
	m.ctr.Running = false // the daemon may write so later
	want := e.docker(t, "diff", id)
	if !strings.Contains(want, "A /data/a") || !strings.Contains(want, "D /bin/wget") {
		t.Fatalf("docker diff prints %s", want)
	}
	m.snapshot(t)
	if got := e.docker(t, "diff", id); got != want {
		t.Errorf("after a snapshot docker diff prints\n%s\nwant\n%s", got, want)
	}
	m.do(t, "cp -p data/a data/b; echo 2 > data/b") // of the same owner
	if got := strings.Split(e.docker(t, "diff", id), "\n"); !slices.Contains(got, "A /data/a") || !slices.Contains(got, "A /data/b") {
		t.Errorf("docker diff prints %q", got)
	}
	image := e.docker(t, "commit", id)
	defer e.docker(t, "rmi", image)
	if got := e.docker(t, "run", "--rm", image, "sh", "-c", "cat /data/*; ls /bin/wget 2>/dev/null || true"); got != "1\n2" {
		t.Errorf("the image has %q", got)
	}
	m.rollback(t, imageservice.RollbackOptions{Revision: 1})
	m.has(t, "data/a=1")
	e.docker(t, "start", id)
	if got := e.docker(t, "exec", id, "sh", "-c", "cat /data/*"); got != "1" {
		t.Errorf("the container reads %q", got)
	}
	e.docker(t, "kill", id)
	m.ctr.Running = false
	_, err := m.service.PrepareUpgrade(t.Context(), m.ctr, imageservice.UpgradeOptions{Image: "busybox:latest"})
	if m.ctr.Driver != snapshotter && !errdefs.IsNotImplemented(err) {
		t.Errorf("an upgrade where changes cannot be told gave %v", err)
	}
}

// TestRevisionsOnStock gives a container that has moved to stock Moby.
func TestRevisionsOnStock(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	e.buildApps(t)
	before := e.state(t)
	id := e.docker(t, "create", "app:1", "sh", "-c", "cat /app/* /data/*; sleep 100")
	defer e.remove(t, id)
	m := newMover(t, e, e.client, id)
	m.do(t, change)
	m.snapshot(t)
	move, err := m.service.PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	m.do(t, "echo more > data/b")
	m.snapshot(t)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), stack.Stock); err != nil {
		t.Fatal(err)
	}
	e.docker(t, "start", id)
	e.eventually(t, "the container to read its files", func() error {
		return expect(e.docker(t, "logs", id), "mine\n2\nv2\nmine\nmore")
	})
	e.remove(t, id)
	e.settled(t, before)
}
