package integration_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestCheckpointFailsCleanly fails every call to containerd that a checkpoint
// makes of a container on a sealed layer, one at a time.
func TestCheckpointFailsCleanly(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	id := e.run(t, "busybox", "echo x >> /x")
	e.sealOwn(t, id)
	e.docker(t, "start", id)
	e.eventually(t, "it to write", func() error {
		_, err := e.try(t, "exec", id, "sh", "-c", "[ $(wc -l < /x) = 2 ]")
		return err
	})
	before := e.state(t)
	checkpoint := func() (string, error) { return e.try(t, "baleen", "checkpoint", "-q", "--no-process", id) }
	last := eachCall(t, p, checkpoint, func(failed, out string, err error) {
		switch {
		case err == nil:
			restored, err := e.try(t, "baleen", "restore", "-q", "--name", "again", "--create-only", out)
			if err != nil {
				t.Errorf("%s failed, the checkpoint did not, and its restore does: %s", failed, restored)
			} else {
				e.docker(t, "rm", restored)
			}
			e.docker(t, "rmi", out)
		case !strings.Contains(out, "checkpoint container "+id) || !strings.Contains(out, "was made to fail"):
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if status := e.inspect(t, id, "{{.State.Status}}"); status != "running" {
			t.Errorf("%s failed, and the container is %s", failed, status)
		}
		e.settledBut(t, failed, before)
	})
	e.docker(t, "rmi", last)
	e.settledBut(t, "no failure", before)
}

// startServices are those that starting a container calls, too.
var startServices = append([]string{"tasks", "containers.v1"}, faultServices...)

// TestRestoreFailsCleanly fails every call to containerd that a restore makes,
// one at a time, where the container's image is in the checkpoint alone.
func TestRestoreFailsCleanly(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	id := e.run(t, "busybox", "[ -e /x ] || echo x > /x", "--name", "web", "--network", "none")
	e.docker(t, "baleen", "checkpoint", "--no-process", "web", "web:1")
	e.remove(t, id)
	e.docker(t, "rmi", "busybox")
	before := e.rest(t)
	remove := func() {
		e.remove(t, "web")
		e.docker(t, "image", "prune", "-f")
	}
	restore := func() (string, error) { return e.try(t, "baleen", "restore", "-q", "web:1") }
	eachCallOf(t, p, startServices, restore, func(failed, out string, err error) {
		if err == nil {
			if got := e.docker(t, "diff", "web"); got != "A /x" {
				t.Errorf("%s failed, the restore did not, and docker diff prints %q", failed, got)
			}
			remove()
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if left := e.docker(t, "ps", "-aq"); left != "" {
			t.Errorf("%s failed, and container %s is left", failed, left)
		}
		e.settledBut(t, failed, before)
	})
	remove()
	e.settledBut(t, "no failure", before)
}

// TestProcessesFailCleanly fails every call to containerd that a checkpoint with
// processes makes, and its restore: the container goes on, and of what was to be
// made nothing is left.
func TestProcessesFailCleanly(t *testing.T) {
	withCRIU(t)
	e, p := newFaultEnv(t, "busybox")
	id := e.count(t, "counter")
	before := e.state(t)
	plan := func(operation func() (string, error), check func(failed, out string, err error)) string {
		return eachCallOf(t, p, startServices, operation, check)
	}
	checkpoint := func() (string, error) { return e.try(t, "baleen", "checkpoint", "-q", "--leave-running", id) }
	last := plan(checkpoint, func(failed, out string, err error) {
		if err == nil {
			e.docker(t, "rmi", out)
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		e.past(t, id, e.counted(t, id))
		e.settledBut(t, failed, before)
	})
	e.remove(t, id)
	before = e.rest(t)
	restore := func() (string, error) { return e.try(t, "baleen", "restore", "-q", last) }
	plan(restore, func(failed, out string, err error) {
		if err == nil {
			e.past(t, out, e.counted(t, out))
			e.remove(t, out)
		} else if !strings.Contains(out, "was made to fail") {
			t.Errorf("%s failed, and the message is %q", failed, out)
		}
		if left := e.docker(t, "ps", "-aq"); left != "" {
			t.Errorf("%s failed, and container %s is left", failed, left)
		}
		e.settledBut(t, failed, before)
	})
}

// TestCheckpointWithoutCRIU: a container that runs is not kept without its
// processes unless that is asked for.
func TestCheckpointWithoutCRIU(t *testing.T) {
	e := newEnv(t, stack.Config{Without: []string{"criu"}}, "busybox")
	id := e.run(t, "busybox", "true")
	const want = "there is no program criu in the daemon's PATH"
	for _, args := range [][]string{{"checkpoint", id, "none:1"}, {"checkpoint", "--leave-running", id}, {"checkpoint", "--check"}} {
		out, err := e.try(t, append([]string{"baleen"}, args...)...)
		if err == nil || !strings.Contains(out, want) || !strings.Contains(out, "--no-process") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	if status := e.inspect(t, id, "{{.State.Status}}"); status != "running" {
		t.Errorf("the container is %s", status)
	}
}
