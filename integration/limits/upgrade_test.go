package limits_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// upgradeWith upgrades a container while so many bytes are free. If that fails, nothing has
// changed and nothing is left.
func upgradeWith(t *testing.T, e *harness.Env, d *disk, id string, free int64, before harness.State) error {
	t.Helper()
	is := e.DescribeWhole(t, id)
	was := e.Inspect(t, id, "{{.State.Status}}")
	d.leave(t, free)
	list, err := e.Move(t.Context(), harness.APIVersion+"/containers/"+id+"/upgrade", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
	d.empty(t, 0)
	if err == nil {
		if taken := list[len(list)-1].Result.RolledBack; taken != "" {
			t.Errorf("with %d KiB free it was taken back: %s", free>>10, taken)
		}
		return nil
	}
	t.Logf("with %d KiB free: %v", free>>10, err)
	if !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("with %d KiB free the message is %v", free>>10, err)
	}
	if status := e.Inspect(t, id, "{{.State.Status}}"); status != was {
		t.Errorf("with %d KiB free the container was %s and is %s", free>>10, was, status)
	}
	if now := e.DescribeWhole(t, id); now != is {
		t.Errorf("with %d KiB free the container was\n%s\nand is\n%s", free>>10, is, now)
	}
	if list := e.Revisions(t, id); len(list) > 0 {
		t.Errorf("with %d KiB free there are revisions %+v", free>>10, list)
	}
	e.SettledBut(t, fmt.Sprintf("%d KiB were free", free>>10), before)
	return err
}

// TestUpgradeOnAFullDisk upgrades containers with less space than merging their
// changes takes, from none to just enough. Without enough the container
// stays what it was, and nothing is left.
func TestUpgradeOnAFullDisk(t *testing.T) {
	d := newSmallDisk(t)
	e := harness.Start(t, stack.Config{Root: filepath.Join(d.Dir, "s")}, "busybox")
	e.BuildApp(t, "app:1", "ENV FROM_IMAGE=1\n")
	e.BuildApp(t, "app:2", "ENV FROM_IMAGE=2\n")
	e.Must(t, "image", "prune", "-f")
	e.Must(t, "rm", e.Must(t, "create", "app:2")) // the image is unpacked then
	empty := e.StateAtRest(t)
	// The merge copies 2,000 files, each in a directory of its own.
	const fill = `[ -e /data/all ] || { cd /data; mkdir $(seq 2000); for d in *; do echo $d > $d/f; done; touch /data/all; }; `
	stopped := e.Must(t, "create", "app:1", "sh", "-c", fill+harness.LookScript)
	e.Must(t, "start", "-a", stopped)
	running := e.Must(t, "run", "-d", "app:1", "sh", "-c", fill+harness.LoopScript[1:])
	harness.Eventually(t, "the container to be ready", func() error {
		if logs := e.Must(t, "logs", running); !strings.HasSuffix(logs, "ready") {
			return fmt.Errorf("so far it printed %q", logs)
		}
		return nil
	})
	before := e.StateAtRest(t)
	try := func(id string, free int64) error {
		t.Helper()
		return upgradeWith(t, e, d, id, free, before)
	}
	if err := try(running, fullStep/3); err == nil || !strings.Contains(err.Error(), ": seal ") {
		t.Errorf("of a running container it did not run out of space in the merge: %v", err)
	}
	for free := int64(0); free < 5*fineStep; free += fineStep {
		if try(stopped, free) == nil {
			t.Fatalf("%d KiB are enough", free>>10)
		}
	}
	enough := int64(fullStep / 2)
	for ; try(stopped, enough) != nil; enough += fullStep / 2 {
		if enough > fullMost {
			t.Fatalf("%d MiB are not enough", enough>>20)
		}
	}
	t.Logf("%d MiB are enough", enough>>20)
	if now := e.DescribeWhole(t, stopped); !strings.Contains(now, "\napp:2\n") {
		t.Errorf("with enough space it became\n%s", now)
	}
	e.Must(t, "rm", "-f", stopped, running)
	e.Settled(t, empty)
	e.NoFilesLeft(t)
}
