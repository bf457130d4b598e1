package revisions_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// moveElsewhere stops the daemons, calls between, and starts them again in another
// mount namespace, as an option of systemd's for the unit would. The roots of the
// containers, which run on, are not mounted there.
func moveElsewhere(t *testing.T, e *harness.Env, between func(), ids ...string) {
	t.Helper()
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Skip(err)
	}
	if err := errors.Join(e.StopDockerd(t.Context()), e.StopContainerd(t.Context())); err != nil {
		t.Fatal(err)
	}
	script := "set -e; "
	for _, id := range ids {
		script += "umount " + filepath.Join(e.DataRoot(), "rootfs", harness.Snapshotter, id) + "; "
	}
	holder := e.Command(t.Context(), "unshare", "-m", "--propagation", "private", "sh", "-c", script+"echo $$; exec sleep infinity")
	holder.Stderr = os.Stderr
	out, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Wait() }) // the test's context has killed it
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	between()
	e.StartWithin(nsenter, "--mount=/proc/"+strings.TrimSpace(pid)+"/ns/mnt")
	if err := errors.Join(e.StartContainerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// writer is what a container runs that writes all the time: in a large file, at the
// end of another one, and new names.
const writer = `dd if=/dev/urandom of=/large bs=1M count=20 2>/dev/null; touch /log; mkdir /names; trap 'exit 0' TERM; echo ready
n=0; while :; do n=$((n + 1)); echo $n >> /log; echo $n | dd of=/large bs=1k seek=$((n % 9000)) conv=notrunc 2>/dev/null; echo $n > /names/$((n % 50)); done`

// startWriter starts an app that writes all the time.
func startWriter(t *testing.T, e *harness.Env, name string) (id string) {
	t.Helper()
	id = e.Must(t, "run", "-d", "--network=none", "--name", name, "app:1", "sh", "-c", writer)
	t.Cleanup(func() { e.Remove(t, name) })
	harness.Eventually(t, "the writer to begin", func() error { return harness.Expect(e.Must(t, "logs", name), "ready") })
	return id
}

// writesOn returns when a container's log, as it is below its root, has grown.
func writesOn(t *testing.T, e *harness.Env, log string) {
	t.Helper()
	size := func() int64 {
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	harness.Eventually(t, "the container to write on", func() error {
		if size() == before {
			return fmt.Errorf("%s still has %d bytes", log, before)
		}
		return nil
	})
}

// activeFolder is where a container's writes lie.
func activeFolder(t *testing.T, e *harness.Env, id string) string {
	t.Helper()
	for _, o := range e.ActiveMounts(t, harness.Snapshotter, id)[0].Options {
		if folder, ok := strings.CutPrefix(o, "upperdir="); ok {
			return folder
		}
	}
	t.Fatalf("container %s has no upper", id)
	return ""
}

// elsewhere is a container that runs, and that the daemons find when they have
// been started in another mount namespace.
func elsewhere(t *testing.T, between func(e *harness.Env, id string)) (e *harness.Env, id string) {
	t.Helper()
	config := harness.SparingConfig()
	config.DaemonConfig["live-restore"] = true
	e = harness.Start(t, config, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	id = startWriter(t, e, "writer")
	moveElsewhere(t, e, func() {
		if between != nil {
			between(e, id)
		}
	}, id)
	return e, id
}

// TestElsewhere keeps a container that has lived on while the daemons moved to
// another mount namespace, in which its root is not mounted. What is sealed of it
// stays as it is, and the container goes on as it was.
func TestElsewhere(t *testing.T) {
	e, id := elsewhere(t, nil)
	log := filepath.Join(activeFolder(t, e, id), "log")
	active := e.ActiveSnapshot(t, id)
	writesOn(t, e, log)
	kept := map[string]string{} // folders
	for name, snapshot := range map[string]string{
		"a snapshot": e.SealedFolder(t, fmt.Sprint(id, ".r", e.Snapshot(t, "writer", "running").Number)),
		"a commit":   e.SealedFolder(t, harness.ChainOf(e.Image(t, e.Must(t, "commit", "writer")))),
	} {
		kept[name] = snapshot
	}
	sums := map[string]string{}
	for name, folder := range kept {
		sums[name] = harness.TreeText(t, folder)
	}
	writesOn(t, e, log)
	writesOn(t, e, log)
	for name, folder := range kept {
		if harness.TreeText(t, folder) != sums[name] {
			t.Errorf("what %s has kept changes while the container runs", name)
		}
	}
	if now := e.ActiveSnapshot(t, id); !now.Created.Equal(active.Created) {
		t.Error("the snapshot of the running container was replaced")
	}
	// It can still change and delete files of the image, and these are seen here.
	e.Must(t, "exec", "writer", "sh", "-ec", "rm /version; echo more >> /etc/group; mv /names /moved; echo here > /here")
	if got := e.Must(t, "diff", "writer"); !strings.Contains(got, "D /version") {
		t.Errorf("docker diff says\n%s", got)
	}
	here := filepath.Join(t.TempDir(), "here")
	e.Must(t, "cp", "writer:/here", here)
	if text, err := os.ReadFile(here); err != nil || string(text) != "here\n" {
		t.Errorf("docker cp finds %q, %v", text, err)
	}
	if out, err := e.Try(t, "exec", "-u", "operator", "writer", "id", "-un"); err != nil || out != "operator" {
		t.Errorf("docker exec by a name prints %q, %v", out, err)
	}
	_, result := e.Upgrade(t, "writer", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
	if !result.Started {
		t.Errorf("the upgrade gave %+v", result)
	}
	for name, folder := range kept {
		if harness.TreeText(t, folder) != sums[name] {
			t.Errorf("what %s has kept changed with the upgrade", name)
		}
	}
	e.MustRead(t, "writer", "/here", "here")
	e.Rollback(t, "writer", api.RollbackRequest{Revision: 1})
	e.Must(t, "rm", "-f", "writer")
	if left := e.Mounts(t); strings.Contains(strings.Join(left, "\n"), id) {
		t.Errorf("mounted are %v", left)
	}
}

// TestElsewhereUnrecorded: the daemon's record says that a container has stopped,
// and containerd has a task of it.
func TestElsewhereUnrecorded(t *testing.T) {
	e, id := elsewhere(t, func(e *harness.Env, id string) { noteStopped(t, e, id) })
	if status := e.Inspect(t, id, "{{.State.Status}}"); status != "exited" {
		t.Fatalf("the container is %s", status)
	}
	log := filepath.Join(activeFolder(t, e, id), "log")
	active := e.ActiveSnapshot(t, id)
	writesOn(t, e, log)
	revision := e.SealedFolder(t, fmt.Sprint(id, ".r", e.Snapshot(t, "writer", "running").Number))
	image := e.SealedFolder(t, harness.ChainOf(e.Image(t, e.Must(t, "commit", "writer"))))
	sums := harness.TreeText(t, revision) + harness.TreeText(t, image)
	writesOn(t, e, log)
	if harness.TreeText(t, revision)+harness.TreeText(t, image) != sums {
		t.Error("what was sealed goes on changing")
	}
	for _, args := range [][]string{
		{"baleen", "upgrade", "writer", "app:2"}, {"baleen", "rollback", "writer", "1"}, {"rm", "writer"},
	} {
		if out, err := e.Try(t, args...); err == nil || !strings.Contains(out, id[:12]) || !strings.Contains(out, "containerd has a task of it") {
			t.Errorf("docker %v: %v: %s", args, err, out)
		}
	}
	e.Must(t, "container", "prune", "-f")
	if now := e.ActiveSnapshot(t, id); !now.Created.Equal(active.Created) || now.Parent != active.Parent {
		t.Error("the snapshot of the running container was replaced")
	}
	writesOn(t, e, log)
	e.Must(t, "rm", "-f", "writer")
	if left, err := e.Client.TaskService().List(e.Context(t), &tasks.ListTasksRequest{}); err != nil || len(left.Tasks) > 0 {
		t.Errorf("after docker rm -f there are tasks: %v, %v", left, err)
	}
}

// TestRemoveUnstarted: the daemon ended while it started a container, between its task
// and its first process. It can be removed by force.
func TestRemoveUnstarted(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	before := e.State(t)
	id := e.Must(t, "create", "--network=none", "--name", "unstarted", "busybox", "true")
	defer e.Remove(t, id)
	ctx := e.Context(t)
	c, err := e.Client.NewContainer(ctx, id, containerd.WithSnapshotter(harness.Snapshotter), containerd.WithSnapshot(id),
		containerd.WithNewSpec(oci.WithProcessArgs("/bin/true")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Delete(e.Context(t)); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}()
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := task.Delete(e.Context(t), containerd.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}()
	if out, err := e.Try(t, "rm", "unstarted"); err == nil || !strings.Contains(out, "containerd has a task of it") {
		t.Errorf("docker rm: %v: %s", err, out)
	}
	if out, err := e.Try(t, "rm", "-f", "unstarted"); err != nil {
		t.Errorf("docker rm -f: %v: %s", err, out)
	}
	if _, err := task.Status(ctx); !errdefs.IsNotFound(err) {
		t.Errorf("its task is there: %v", err)
	}
	if err := c.Delete(ctx); err != nil {
		t.Error(err)
	}
	e.Settled(t, before)
}

// noteStopped has the record of a container say that it has stopped.
func noteStopped(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	path := filepath.Join(e.DataRoot(), "containers", id, "config.v2.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	state := record["State"].(map[string]any)
	state["Running"], state["Pid"], state["FinishedAt"] = false, 0, state["StartedAt"]
	if text, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
