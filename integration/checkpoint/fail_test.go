package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCheckpointFailsCleanly fails every call to containerd that a checkpoint
// makes of a container on a sealed layer, one at a time.
func TestCheckpointFailsCleanly(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "echo x >> /x")
	e.SealOwn(t, id)
	e.Must(t, "start", id)
	harness.Eventually(t, "it to write", func() error {
		_, err := e.Try(t, "exec", id, "sh", "-c", "[ $(wc -l < /x) = 2 ]")
		return err
	})
	before := e.State(t)
	checkpoint := func() (string, error) { return e.Try(t, "baleen", "checkpoint", "-q", "--no-process", id) }
	last := harness.EachCall(t, p, checkpoint, func(failed, out string, err error) {
		switch {
		case err == nil:
			restored, err := e.Try(t, "baleen", "restore", "-q", "--name", "again", "--create-only", out)
			if err != nil {
				t.Errorf("%s failed, the checkpoint did not, and its restore does: %s", failed, restored)
			} else {
				e.Must(t, "rm", restored)
			}
			e.Must(t, "rmi", out)
		case !strings.Contains(out, "checkpoint container "+id[:12]) || !strings.Contains(out, "was made to fail"):
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if status := e.Inspect(t, id, "{{.State.Status}}"); status != "running" {
			t.Errorf("%s failed, and the container is %s", failed, status)
		}
		e.SettledBut(t, failed, before)
	})
	e.Must(t, "rmi", last)
	e.SettledBut(t, "no failure", before)
}

// startServices are those that starting a container calls, too.
var startServices = append([]string{"tasks", "containers.v1"}, harness.ImageServices...)

// TestRestoreFailsCleanly fails every call to containerd that a restore makes,
// one at a time, where the container's image is in the checkpoint alone.
func TestRestoreFailsCleanly(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	id := e.Run(t, "busybox", "[ -e /x ] || echo x > /x", "--name", "web", "--network", "none")
	e.Must(t, "baleen", "checkpoint", "--no-process", "web", "web:1")
	e.Remove(t, id)
	e.Must(t, "rmi", "busybox")
	before := e.StateAtRest(t)
	remove := func() {
		e.Remove(t, "web")
		e.RemoveRestoredImages(t)
	}
	restore := func() (string, error) { return e.Try(t, "baleen", "restore", "-q", "web:1") }
	harness.EachCallOf(t, p, startServices, restore, func(failed, out string, err error) {
		if err == nil {
			if got := e.Must(t, "diff", "web"); got != "A /x" {
				t.Errorf("%s failed, the restore did not, and docker diff prints %q", failed, got)
			}
			remove()
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if left := e.Must(t, "ps", "-aq"); left != "" {
			t.Errorf("%s failed, and container %s is left", failed, left)
		}
		e.SettledBut(t, failed, before)
	})
	remove()
	e.SettledBut(t, "no failure", before)
}

// TestProcessesFailCleanly fails every call to containerd that a checkpoint with
// processes makes, and its restore: the container goes on, and of what was to be
// made nothing is left.
func TestProcessesFailCleanly(t *testing.T) {
	harness.NeedCRIU(t)
	e, p := harness.StartFaulty(t, "busybox")
	id := e.RunCounter(t, "counter")
	before := e.State(t)
	plan := func(operation func() (string, error), check func(failed, out string, err error)) string {
		return harness.EachCallOf(t, p, startServices, operation, check)
	}
	checkpoint := func() (string, error) { return e.Try(t, "baleen", "checkpoint", "-q", "--leave-running", id) }
	last := plan(checkpoint, func(failed, out string, err error) {
		if err == nil {
			e.Must(t, "rmi", out)
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		e.CountsPast(t, id, e.Counted(t, id))
		e.SettledBut(t, failed, before)
	})
	e.Remove(t, id)
	before = e.StateAtRest(t)
	restore := func() (string, error) { return e.Try(t, "baleen", "restore", "-q", last) }
	plan(restore, func(failed, out string, err error) {
		if err == nil {
			e.CountsPast(t, out, e.Counted(t, out))
			e.Remove(t, out)
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if left := e.Must(t, "ps", "-aq"); left != "" {
			t.Errorf("%s failed, and container %s is left", failed, left)
		}
		e.SettledBut(t, failed, before)
	})
}

// TestCheckpointWithoutCRIU: a container that runs is not kept without its
// processes unless that is asked for.
func TestCheckpointWithoutCRIU(t *testing.T) {
	e := harness.Start(t, stack.Config{Without: []string{"criu"}}, "busybox")
	id := e.Run(t, "busybox", "true")
	const want = "there is no program criu in the daemon's PATH"
	for _, args := range [][]string{{"checkpoint", id, "none:1"}, {"checkpoint", "--leave-running", id}, {"checkpoint", "--check"}} {
		out, err := e.Try(t, append([]string{"baleen"}, args...)...)
		if err == nil || !strings.Contains(out, want) || !strings.Contains(out, "--no-process") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	if status := e.Inspect(t, id, "{{.State.Status}}"); status != "running" {
		t.Errorf("the container is %s", status)
	}
}
