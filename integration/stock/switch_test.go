package stock_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestStorageDriverSwitched takes a data root from one driver to the other and
// back. Containers are not seen by the other, as in stock Moby, and lose nothing;
// images are.
func TestStorageDriverSwitched(t *testing.T) {
	e := harness.Start(t, stack.Config{StorageDriver: "overlayfs"}, "busybox")
	e.Run(t, "busybox", "echo one > /one", "--name", "old")
	e.Must(t, "baleen", "snapshot", "-m", "first", "old")
	e.Must(t, "exec", "old", "sh", "-c", "echo two > /two")
	e.Must(t, "commit", "old", "image")
	before := e.SnapshotsOf(t, "moby", "overlayfs")

	restartOn(t, e, "baleen")
	if out, err := e.Try(t, "inspect", "old"); err == nil {
		t.Errorf("the other driver's container is there: %s", out)
	}
	e.Run(t, "image", "rm /one; echo three > /three", "--name", "new")
	if got := e.Inspect(t, "new", "{{.Driver}} {{"+shownDriver(t)+"}}"); got != "baleen baleen" {
		t.Errorf("a new container's driver is %s", got)
	}
	e.Must(t, "baleen", "snapshot", "-m", "first", "new")
	e.Must(t, "exec", "new", "sh", "-c", "rm /three")
	e.Must(t, "baleen", "rollback", "new", "1")
	e.Must(t, "system", "prune", "-f")
	if after := e.SnapshotsOf(t, "moby", "overlayfs"); !slices.Equal(before, after) {
		t.Errorf("the other driver's snapshots were %v and are %v", before, after)
	}

	restartOn(t, e, "overlayfs")
	e.Must(t, "start", "old")
	if got := e.Must(t, "exec", "old", "cat", "/one", "/two"); got != "one\ntwo" {
		t.Errorf("back on its driver the container holds %q", got)
	}
	e.Must(t, "baleen", "rollback", "old", "1")
	if got := e.Must(t, "exec", "old", "ls", "/"); !strings.Contains(got, "one\n") || strings.Contains(got, "two\n") {
		t.Errorf("on its first revision the container has %s", got)
	}
	e.Must(t, "rm", "-f", "old")
	e.Must(t, "system", "prune", "-af")

	restartOn(t, e, "baleen")
	e.Must(t, "start", "new")
	if got := e.Must(t, "exec", "new", "cat", "/two", "/three"); got != "two\nthree" {
		t.Errorf("after the other driver pruned its images the container holds %q", got)
	}
	e.Must(t, "commit", "new", "again")
	if got := e.Must(t, "run", "--rm", "again", "cat", "/two"); got != "two" {
		t.Errorf("its image holds %q", got)
	}
}

// TestMarksLeft: what a power cut has left of the mark of a container that was being
// created or restored does not have it removed where its layer is not found: with
// another storage driver, without containerd's data, and in a copy of its folder.
func TestMarksLeft(t *testing.T) {
	e := harness.Start(t, stack.Config{StorageDriver: "overlayfs", DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	for _, mark := range []string{"baleen-creating", "baleen-restoring"} {
		id := e.Run(t, "busybox", "echo one > /one", "--network=none")
		e.Must(t, "kill", id)
		folder := filepath.Join(e.DataRoot(), "containers", id)
		harness.WriteFile(t, filepath.Join(folder, mark), "")
		if out, err := exec.Command("cp", "-a", folder, folder+".bak").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		restartOn(t, e, "baleen")
		e.CollectGarbage(t)
		restartOn(t, e, "overlayfs")
		harness.WriteFile(t, filepath.Join(folder, mark), "") // that the container was loaded took it off
		restartWith(t, e, "containerd-namespace", "another")
		restartWith(t, e, "containerd-namespace", "moby")
		e.Must(t, "start", id)
		if got := e.Must(t, "exec", id, "cat", "/one"); got != "one" {
			t.Errorf("%s: back on its driver the container holds %q", mark, got)
		}
		if _, err := os.Stat(filepath.Join(folder+".bak", "config.v2.json")); err != nil {
			t.Errorf("%s: the copy of its folder: %v", mark, err)
		}
		e.Remove(t, id)
	}
}

// TestRestoredImageOfAnotherDriver: the record of an image that a restore has made,
// with the mark that a crash has left on it, stays while the container that uses it
// is another storage driver's.
func TestRestoredImageOfAnotherDriver(t *testing.T) {
	e := harness.Start(t, stack.Config{StorageDriver: "overlayfs", DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	image := e.Must(t, "commit", e.Must(t, "create", "--network=none", "busybox"))
	id := e.Must(t, "create", "--network=none", image, "true")
	name, mark := "moby-dangling@"+image, "io.baleen.restoring"
	images, ctx := e.Client.ImageService(), e.Context(t)
	record, err := images.Get(ctx, name)
	if err == nil {
		record.Labels = map[string]string{mark: e.Must(t, "info", "-f", "{{.ID}}")}
		record, err = images.Update(ctx, record, "labels."+mark)
	}
	if err != nil || record.Labels[mark] == "" {
		t.Fatal(record, err)
	}
	restartOn(t, e, "baleen")
	e.CollectGarbage(t)
	restartOn(t, e, "overlayfs")
	if record, err = images.Get(ctx, name); err != nil || record.Labels[mark] != "" {
		t.Errorf("the image's record is %v, %v", record, err)
	}
	e.Must(t, "start", id)
	e.Must(t, "commit", id)
}

// restartOn starts dockerd again with another storage driver.
func restartOn(t *testing.T, e *harness.Env, driver string) {
	t.Helper()
	restartWith(t, e, "storage-driver", driver)
	if got := e.Must(t, "info", "-f", "{{.Driver}}"); got != driver {
		t.Fatalf("the storage driver is %s, not %s", got, driver)
	}
}

// restartWith starts dockerd again with another value in its configuration.
func restartWith(t *testing.T, e *harness.Env, key, value string) {
	t.Helper()
	path := filepath.Join(e.Root(), "daemon.json")
	var config map[string]any
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err == nil {
		config[key] = value
		text, err = json.Marshal(config)
	}
	if err == nil {
		err = e.StopDockerd(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	harness.WriteFile(t, path, string(text))
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}
