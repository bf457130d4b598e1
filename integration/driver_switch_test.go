package integration_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestStorageDriverSwitched takes a data root from one driver to the other and
// back. Containers are not seen by the other, as in stock Moby, and lose nothing;
// images are.
func TestStorageDriverSwitched(t *testing.T) {
	e := newEnv(t, stack.Config{StorageDriver: "overlayfs"}, "busybox")
	e.run(t, "busybox", "echo one > /one", "--name", "old")
	e.docker(t, "baleen", "snapshot", "-m", "first", "old")
	e.docker(t, "exec", "old", "sh", "-c", "echo two > /two")
	e.docker(t, "commit", "old", "image")
	before := e.snapshots(t, "moby", "overlayfs")

	e.restartOn(t, "baleen")
	if out, err := e.try(t, "inspect", "old"); err == nil {
		t.Errorf("the other driver's container is there: %s", out)
	}
	e.run(t, "image", "rm /one; echo three > /three", "--name", "new")
	if got := e.inspect(t, "new", "{{.Driver}} {{"+shownDriver(t)+"}}"); got != "baleen baleen" {
		t.Errorf("a new container's driver is %s", got)
	}
	e.docker(t, "baleen", "snapshot", "-m", "first", "new")
	e.docker(t, "exec", "new", "sh", "-c", "rm /three")
	e.docker(t, "baleen", "rollback", "new", "1")
	e.docker(t, "system", "prune", "-f")
	if after := e.snapshots(t, "moby", "overlayfs"); !slices.Equal(before, after) {
		t.Errorf("the other driver's snapshots were %v and are %v", before, after)
	}

	e.restartOn(t, "overlayfs")
	e.docker(t, "start", "old")
	if got := e.docker(t, "exec", "old", "cat", "/one", "/two"); got != "one\ntwo" {
		t.Errorf("back on its driver the container holds %q", got)
	}
	e.docker(t, "baleen", "rollback", "old", "1")
	if got := e.docker(t, "exec", "old", "ls", "/"); !strings.Contains(got, "one\n") || strings.Contains(got, "two\n") {
		t.Errorf("on its first revision the container has %s", got)
	}
	e.docker(t, "rm", "-f", "old")
	e.docker(t, "system", "prune", "-af")

	e.restartOn(t, "baleen")
	e.docker(t, "start", "new")
	if got := e.docker(t, "exec", "new", "cat", "/two", "/three"); got != "two\nthree" {
		t.Errorf("after the other driver pruned its images the container holds %q", got)
	}
	e.docker(t, "commit", "new", "again")
	if got := e.docker(t, "run", "--rm", "again", "cat", "/two"); got != "two" {
		t.Errorf("its image holds %q", got)
	}
}

// TestMarksLeft: what a power cut has left of the mark of a container that was being
// created or restored does not have it removed where its layer is not found: with
// another storage driver, without containerd's data, and in a copy of its folder.
func TestMarksLeft(t *testing.T) {
	e := newEnv(t, stack.Config{StorageDriver: "overlayfs", DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	for _, mark := range []string{"baleen-creating", "baleen-restoring"} {
		id := e.run(t, "busybox", "echo one > /one", "--network=none")
		e.docker(t, "kill", id)
		folder := filepath.Join(e.DataRoot(), "containers", id)
		write(t, filepath.Join(folder, mark), "")
		if out, err := exec.Command("cp", "-a", folder, folder+".bak").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		e.restartOn(t, "baleen")
		e.collect(t)
		e.restartOn(t, "overlayfs")
		write(t, filepath.Join(folder, mark), "") // that the container was loaded took it off
		e.restartWith(t, "containerd-namespace", "another")
		e.restartWith(t, "containerd-namespace", "moby")
		e.docker(t, "start", id)
		if got := e.docker(t, "exec", id, "cat", "/one"); got != "one" {
			t.Errorf("%s: back on its driver the container holds %q", mark, got)
		}
		if _, err := os.Stat(filepath.Join(folder+".bak", "config.v2.json")); err != nil {
			t.Errorf("%s: the copy of its folder: %v", mark, err)
		}
		e.remove(t, id)
	}
}

// TestRestoredImageOfAnotherDriver: the record of an image that a restore has made,
// with the mark that a crash has left on it, stays while the container that uses it
// is another storage driver's.
func TestRestoredImageOfAnotherDriver(t *testing.T) {
	e := newEnv(t, stack.Config{StorageDriver: "overlayfs", DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	image := e.docker(t, "commit", e.docker(t, "create", "--network=none", "busybox"))
	id := e.docker(t, "create", "--network=none", image, "true")
	name, mark := "moby-dangling@"+image, "io.baleen.restoring"
	images, ctx := e.client.ImageService(), e.ctx(t)
	record, err := images.Get(ctx, name)
	if err == nil {
		record.Labels = map[string]string{mark: e.docker(t, "info", "-f", "{{.ID}}")}
		record, err = images.Update(ctx, record, "labels."+mark)
	}
	if err != nil || record.Labels[mark] == "" {
		t.Fatal(record, err)
	}
	e.restartOn(t, "baleen")
	e.collect(t)
	e.restartOn(t, "overlayfs")
	if record, err = images.Get(ctx, name); err != nil || record.Labels[mark] != "" {
		t.Errorf("the image's record is %v, %v", record, err)
	}
	e.docker(t, "start", id)
	e.docker(t, "commit", id)
}

// restartOn starts dockerd again with another storage driver.
func (e *env) restartOn(t *testing.T, driver string) {
	t.Helper()
	e.restartWith(t, "storage-driver", driver)
	if got := e.docker(t, "info", "-f", "{{.Driver}}"); got != driver {
		t.Fatalf("the storage driver is %s, not %s", got, driver)
	}
}

// restartWith starts dockerd again with another value in its configuration.
func (e *env) restartWith(t *testing.T, key, value string) {
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
	write(t, path, string(text))
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}
