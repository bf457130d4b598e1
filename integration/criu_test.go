package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/stack"
)

// withCRIU has the daemons of a test find CRIU, or skips it: `make criu` unpacks
// one that runs on this kernel.
func withCRIU(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")) // so it is as it was after the test
	if err := stack.FindCRIU(); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("criu")
	if err != nil {
		t.Skip("there is no CRIU: make criu")
	}
	if out, err := output(exec.CommandContext(t.Context(), path, "check")); err != nil {
		t.Skipf("CRIU does not run here: %v: %s", err, out)
	}
}

// counter counts into a file that it keeps open, from a variable. It notes how
// often it has begun, and does FIRST before.
const counter = "eval \"$FIRST\"; echo x >> /begun; exec 3>/counted; n=0; while :; do n=$((n+1)); echo $n >&3; sleep 0.05; done"

// count starts a container that counts.
func (e *env) count(t *testing.T, name string, options ...string) string {
	t.Helper()
	args := append([]string{"run", "-d", "--init=false", "--name", name}, options...)
	id := e.docker(t, append(args, "busybox", "sh", "-c", counter)...)
	t.Cleanup(func() { e.remove(t, id) })
	e.past(t, id, 3)
	return id
}

// counted is the last number, and whether all before it are there once.
func (e *env) counted(t *testing.T, id string) int {
	t.Helper()
	out, err := e.try(t, "exec", id, "cat", "/counted")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Fields(out)
	for at, line := range lines {
		if n, err := strconv.Atoi(line); err != nil || n != at+1 {
			t.Fatalf("line %d of what was counted is %q", at+1, line)
		}
	}
	return len(lines)
}

func (e *env) past(t *testing.T, id string, n int) (now int) {
	t.Helper()
	e.eventually(t, fmt.Sprintf("container %s to count past %d", id[:12], n), func() error {
		if now = e.counted(t, id); now <= n {
			return fmt.Errorf("it is at %d", now)
		}
		return nil
	})
	return now
}

// wentOn fails the test if a restored container did not go on from a number
// between two, or has no network. It returns the container's number.
func (e *env) wentOn(t *testing.T, id string, from, to int) int {
	t.Helper()
	// Some time goes by until it is looked at.
	now := e.counted(t, id)
	if now < from || now > to+40 {
		t.Errorf("kept between %d and %d, it is at %d after its restore", from, to, now)
	}
	if begun := e.docker(t, "exec", id, "cat", "/begun"); begun != "x" {
		t.Errorf("it has begun %d times", len(strings.Fields(begun)))
	}
	if address := e.inspect(t, id, "{{.NetworkSettings.Networks.bridge.IPAddress}}"); address == "" ||
		!strings.Contains(e.docker(t, "exec", id, "ip", "-o", "addr"), "inet "+address+"/") {
		t.Errorf("it has no network with address %q", address)
	}
	return e.past(t, id, now)
}

// TestProcessesGoOn keeps a counting container with its processes, in the same
// daemon and through a registry in another one.
func TestProcessesGoOn(t *testing.T) {
	withCRIU(t)
	store := t.TempDir()
	e := newEnv(t, stack.Config{}, "busybox")
	e.withRegistry(t, store)
	if out := e.docker(t, "baleen", "checkpoint", "--check"); !strings.Contains(out, "can keep processes, with CRIU") {
		t.Errorf("--check prints %q", out)
	}
	ref := registry + "/counter:1"
	id := e.count(t, "counter")
	before := e.counted(t, id)
	e.docker(t, "exec", "-d", id, "sleep", "1000")
	out := e.docker(t, "baleen", "checkpoint", "--leave-running", id, ref)
	if want := "WARNING: commands of docker exec are not in the checkpoint: sleep\n"; !strings.Contains(out, want) {
		t.Errorf("docker baleen checkpoint printed\n%s\nwithout %q", out, want)
	}
	after := e.past(t, id, before)
	t.Logf("kept between %d and %d: %s", before, after, out)
	if !strings.Contains(out, "\nIt stood still for ") {
		t.Error("it does not say how long the container stood still")
	}
	e.wentOn(t, e.restore(t, ref, "--name", "again"), before, after)
	e.past(t, id, after)
	t.Run("not compressed", func(t *testing.T) { notCompressed(t, e, before, after) })
	t.Run("in another daemon", func(t *testing.T) {
		e.push(t, ref)
		other := newEnv(t, stack.Config{})
		other.withRegistry(t, store)
		other.docker(t, "pull", ref)
		if out, err := other.try(t, "baleen", "restore", ref); err == nil || !strings.Contains(out, "processes as CRIU has dumped them") {
			t.Errorf("processes from elsewhere: %v, %s", err, out)
		}
		there := other.restore(t, ref, "--trust")
		other.wentOn(t, there, before, after)
		other.docker(t, "stop", "-t", "0", there)
		other.docker(t, "start", there) // anew, on the same files
		other.past(t, there, 3)
	})
	t.Run("stopped", func(t *testing.T) {
		before := e.counted(t, id)
		e.docker(t, "baleen", "checkpoint", id, "stopped:1")
		if got := e.inspect(t, id, "{{.State.Status}} {{.State.Restarting}}"); got != "exited false" {
			t.Errorf("the container is %s", got)
		}
		e.remove(t, id)
		e.wentOn(t, e.restore(t, "stopped:1"), before, before)
	})
}

// notCompressed: the state of processes is a small part of what CRIU has dumped, and
// is restored as well from a checkpoint that has that itself.
func notCompressed(t *testing.T, e *env, before, after int) {
	e.docker(t, "tag", registry+"/counter:1", "packed:1")
	c := e.readCheckpoint(t, "packed:1")
	raw, packed, err := c.RawProcess()
	if err != nil || !packed || c.Process.Size*4 > raw.Size || c.Process.MediaType != containerstore.MediaTypeCheckpointProcess {
		t.Errorf("the state of the processes is %+v of %+v, %v", c.Process, raw, err)
	}
	e.collect(t)
	if _, err := e.client.ContentStore().Info(e.ctx(t), raw.Digest); !errdefs.IsNotFound(err) {
		t.Errorf("what it was made of is still there: %v", err)
	}
	ctx, done, err := e.client.WithLease(e.ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	image, err := e.client.GetImage(ctx, "docker.io/library/packed:1")
	if err != nil {
		t.Fatal(err)
	}
	var task containerd.TaskInfo
	if err := containerstore.WithTaskCheckpoint(image)(ctx, e.client, &task); err != nil {
		t.Fatal(err)
	}
	if got := task.Checkpoint; got.Digest != raw.Digest.String() || got.Size != raw.Size || got.MediaType != images.MediaTypeContainerd1Checkpoint {
		t.Errorf("a new task is given %+v", got)
	}
	c.Process = &raw
	e.putCheckpoint(t, c, "raw")
	if err := done(ctx); err != nil {
		t.Error(err)
	}
	e.docker(t, "rmi", "packed:1")
	e.collect(t)
	again := e.restore(t, "raw", "--name", "raw", "--trust")
	e.wentOn(t, again, before, after)
	e.remove(t, again)
	e.docker(t, "rmi", "raw")
}

// TestRewind goes back 20 times to where a container was, which goes on in
// between.
func TestRewind(t *testing.T) {
	withCRIU(t)
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.count(t, "loop", "--restart", "always")
	var kept, restored, committed time.Duration
	rounds := 20
	for n := range rounds {
		from := e.counted(t, id)
		kept += took(func() { e.docker(t, "baleen", "checkpoint", id, "loop:1") })
		e.remove(t, id)
		restored += took(func() { id = e.restore(t, "loop:1") })
		e.wentOn(t, id, from, from)
		committed += took(func() {
			e.docker(t, "commit", id, "loop:files")
			e.docker(t, "run", "-d", "--name", "beside", "loop:files")
		})
		e.remove(t, "beside")
		if t.Failed() {
			t.Fatalf("in round %d", n+1)
		}
	}
	t.Logf("%d rounds: a checkpoint in %s, a restore in %s; a commit and run in %s", rounds,
		kept/time.Duration(rounds), restored/time.Duration(rounds), committed/time.Duration(rounds))
}

func took(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// TestDockerCheckpointIsKept collects garbage between the upload of a checkpoint
// and the start from it. containerd has the blob already, from the making of the
// checkpoint, and nothing else keeps it.
func TestDockerCheckpointIsKept(t *testing.T) {
	withCRIU(t)
	e, proxy := newFaultEnvWith(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	id := e.count(t, "counter")
	before := e.counted(t, id)
	e.docker(t, "checkpoint", "create", id, "point")
	e.eventually(t, "the container to end", func() error {
		if got := e.inspect(t, id, "{{.State.Status}}"); got != "exited" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	collected := false
	proxy.Set(fault.Plan{Methods: []string{"Tasks/Create"}, Nth: 1, Pass: true, Do: func() {
		e.collect(t)
		collected = true
	}})
	e.docker(t, "start", "--checkpoint", "point", id)
	proxy.Clear()
	if !collected {
		t.Error("nothing was collected meanwhile")
	}
	e.wentOn(t, id, before, before)
}

// TestDockerCheckpoint: the ordinary docker command's checkpoints are made and
// started from.
func TestDockerCheckpoint(t *testing.T) {
	withCRIU(t)
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	id := e.count(t, "counter", "--tmpfs", "/tmp")
	e.docker(t, "exec", id, "touch", "/tmp/in-memory")
	for n := range 3 {
		name := fmt.Sprint("point", n)
		before := e.counted(t, id)
		e.docker(t, "checkpoint", "create", id, name)
		e.eventually(t, "the container to end", func() error {
			if got := e.inspect(t, id, "{{.State.Status}}"); got != "exited" {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
		e.docker(t, "start", "--checkpoint", name, id)
		e.wentOn(t, id, before, before)
		e.docker(t, "exec", id, "test", "-e", "/tmp/in-memory")
	}
	if list := e.docker(t, "checkpoint", "ls", id); strings.Count(list, "point") != 3 {
		t.Errorf("the checkpoints are\n%s", list)
	}
}

// TestProcessesCannotBeKept: what CRIU cannot do is said, and the container goes
// on.
func TestProcessesCannotBeKept(t *testing.T) {
	withCRIU(t)
	e := newEnv(t, stack.Config{}, "busybox")
	for name, test := range map[string]struct {
		options []string
		want    string
	}{
		"terminal": {[]string{"-t"}, "it has a terminal (-t)"},
		"removed":  {[]string{"--rm"}, "it was created with --rm"},
	} {
		id := e.count(t, name, test.options...)
		before := e.state(t)
		out, err := e.try(t, "baleen", "checkpoint", id, "none:1")
		if err == nil || !strings.Contains(out, test.want) || !strings.Contains(out, "--no-process") {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		e.settled(t, before)
		e.past(t, id, e.counted(t, id))
		e.remove(t, id)
	}
	id := e.count(t, "counter", "--device", "/dev/loop-control", "-e", "FIRST=exec 5< /dev/loop-control")
	before := e.state(t)
	out, err := e.try(t, "baleen", "checkpoint", id, "none:1")
	if err == nil || !strings.Contains(out, "keep the processes: ") || !strings.Contains(out, "Can't dump file") {
		t.Errorf("with an open device: %v, %s", err, out)
	}
	e.settled(t, before)
	e.past(t, id, e.counted(t, id))
	e.remove(t, id)

	id = e.count(t, "counter")
	e.docker(t, "baleen", "checkpoint", "--leave-running", id, "kept:1")
	e.remove(t, id)
	e.newerCRIU(t, "kept:1", "newer")
	before = e.state(t)
	if out, err := e.try(t, "baleen", "restore", "--trust", "newer"); err == nil || !strings.Contains(out, "CRIU 99.1 kept them, and the daemon has") {
		t.Errorf("of a newer CRIU: %v, %s", err, out)
	}
	e.settled(t, before)
}

// newerCRIU makes a checkpoint like another that a CRIU of the future has made.
func (e *env) newerCRIU(t *testing.T, ref, name string) {
	t.Helper()
	read := e.readCheckpoint(t, ref)
	read.CRIU = "99.1"
	e.putCheckpoint(t, read, name)
}

// TestKilledWhileKeeping kills the daemon in the middle of checkpoints with
// processes: the container goes on, and of the checkpoint nothing is left or all.
func TestKilledWhileKeeping(t *testing.T) {
	withCRIU(t)
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	id := e.count(t, "counter")
	before := e.state(t)
	for n := range 8 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			// It may end before it is killed.
			_, _ = e.try(t, "baleen", "checkpoint", "--leave-running", id, "kept:1")
		}()
		time.Sleep(time.Duration(n*60) * time.Millisecond)
		e.killAndStart(t, stack.Dockerd)
		<-done
		e.past(t, id, e.counted(t, id))
		if out, err := e.try(t, "image", "inspect", "kept:1"); err == nil {
			again := e.restore(t, "kept:1", "--name", "again")
			e.past(t, again, e.counted(t, again))
			e.remove(t, again)
			e.docker(t, "rmi", "kept:1")
		} else if !strings.Contains(out, "No such image") {
			t.Errorf("%v: %s", err, out)
		}
		e.docker(t, "image", "prune", "-f") // one that had no name yet
	}
	e.settled(t, before)
}
