package checkpoint_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// wentOn fails the test if a restored container did not go on from a number
// between two, or has no network. It returns the container's number.
func wentOn(t *testing.T, e *harness.Env, id string, from, to int) int {
	t.Helper()
	// Some time goes by until it is looked at.
	now := e.Counted(t, id)
	if now < from || now > to+40 {
		t.Errorf("kept between %d and %d, it is at %d after its restore", from, to, now)
	}
	if begun := e.Must(t, "exec", id, "cat", "/begun"); begun != "x" {
		t.Errorf("it has begun %d times", len(strings.Fields(begun)))
	}
	if address := e.Inspect(t, id, "{{.NetworkSettings.Networks.bridge.IPAddress}}"); address == "" ||
		!strings.Contains(e.Must(t, "exec", id, "ip", "-o", "addr"), "inet "+address+"/") {
		t.Errorf("it has no network with address %q", address)
	}
	return e.CountsPast(t, id, now)
}

// TestProcessesGoOn keeps a counting container with its processes, in the same
// daemon and through a registry in another one.
func TestProcessesGoOn(t *testing.T) {
	harness.NeedCRIU(t)
	store := t.TempDir()
	e := harness.Start(t, stack.Config{}, "busybox")
	e.WithRegistry(t, store)
	if out := e.Must(t, "baleen", "checkpoint", "--check"); !strings.Contains(out, "can keep processes, with CRIU") {
		t.Errorf("--check prints %q", out)
	}
	ref := harness.RegistryAddress + "/counter:1"
	id := e.RunCounter(t, "counter")
	before := e.Counted(t, id)
	e.Must(t, "exec", "-d", id, "sleep", "1000")
	out := e.Must(t, "baleen", "checkpoint", "--leave-running", id, ref)
	if want := "WARNING: commands of docker exec are not in the checkpoint: sleep\n"; !strings.Contains(out, want) {
		t.Errorf("docker baleen checkpoint printed\n%s\nwithout %q", out, want)
	}
	after := e.CountsPast(t, id, before)
	t.Logf("kept between %d and %d: %s", before, after, out)
	if !strings.Contains(out, "\nIt stood still for ") {
		t.Error("it does not say how long the container stood still")
	}
	wentOn(t, e, e.Restore(t, ref, "--name", "again"), before, after)
	e.CountsPast(t, id, after)
	t.Run("not compressed", func(t *testing.T) { notCompressed(t, e, before, after) })
	t.Run("in another daemon", func(t *testing.T) {
		e.Push(t, ref)
		other := harness.Start(t, stack.Config{})
		other.WithRegistry(t, store)
		other.Must(t, "pull", ref)
		if out, err := other.Try(t, "baleen", "restore", ref); err == nil || !strings.Contains(out, "processes as CRIU has dumped them") {
			t.Errorf("processes from elsewhere: %v, %s", err, out)
		}
		there := other.Restore(t, ref, "--trust")
		wentOn(t, other, there, before, after)
		other.Must(t, "stop", "-t", "0", there)
		other.Must(t, "start", there) // anew, on the same files
		other.CountsPast(t, there, 3)
		saysWhyElsewhere(t, e, other)
	})
	t.Run("stopped", func(t *testing.T) {
		before := e.Counted(t, id)
		e.Must(t, "baleen", "checkpoint", id, "stopped:1")
		if got := e.Inspect(t, id, "{{.State.Status}} {{.State.Restarting}}"); got != "exited false" {
			t.Errorf("the container is %s", got)
		}
		e.Remove(t, id)
		wentOn(t, e, e.Restore(t, "stopped:1"), before, before)
	})
}

// saysWhyElsewhere: a restore that fails in another daemon has CRIU's reason in its error.
// moby/moby#40529: docker start of a checkpoint that came from another host failed, and the
// log of CRIU that the error named did not exist.
func saysWhyElsewhere(t *testing.T, e, other *harness.Env) {
	t.Helper()
	const ref = harness.RegistryAddress + "/open:1"
	id := e.Must(t, "run", "-d", "--init=false", "--name", "open", "-v", "/data", "busybox", "sh", "-c", "exec 3>/data/file; exec sleep 1000")
	t.Cleanup(func() { e.Remove(t, id) })
	harness.Eventually(t, "the file to be open", func() error {
		_, err := e.Try(t, "exec", id, "test", "-e", "/data/file")
		return err
	})
	e.Must(t, "baleen", "checkpoint", "--leave-running", id, ref)
	e.Push(t, ref)
	other.Must(t, "pull", ref)
	before := other.State(t)
	out, err := other.Try(t, "baleen", "restore", "--trust", ref)
	for _, want := range []string{"restore the processes: ", "Can't open file data/file on restore: No such file or directory"} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("it prints, without %q (%v)\n%s", want, err, out)
		}
	}
	other.Settled(t, before)
}

// notCompressed: the state of processes is a small part of what CRIU has dumped, and
// is restored as well from a checkpoint that has that itself.
func notCompressed(t *testing.T, e *harness.Env, before, after int) {
	e.Must(t, "tag", harness.RegistryAddress+"/counter:1", "packed:1")
	c := e.ReadCheckpoint(t, "packed:1")
	raw, packed, err := c.RawProcess()
	if err != nil || !packed || c.Process.Size*4 > raw.Size || c.Process.MediaType != checkpoint.MediaTypeProcess {
		t.Errorf("the state of the processes is %+v of %+v, %v", c.Process, raw, err)
	}
	e.CollectGarbage(t)
	if _, err := e.Client.ContentStore().Info(e.Context(t), raw.Digest); !errdefs.IsNotFound(err) {
		t.Errorf("what it was made of is still there: %v", err)
	}
	ctx, done, err := e.Client.WithLease(e.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	image, err := e.Client.GetImage(ctx, "docker.io/library/packed:1")
	if err != nil {
		t.Fatal(err)
	}
	var task containerd.TaskInfo
	if err := clientopts.WithTaskCheckpoint(image)(ctx, e.Client, &task); err != nil {
		t.Fatal(err)
	}
	if got := task.Checkpoint; got.Digest != raw.Digest.String() || got.Size != raw.Size || got.MediaType != images.MediaTypeContainerd1Checkpoint {
		t.Errorf("a new task is given %+v", got)
	}
	c.Process = &raw
	putCheckpoint(t, e, c, "raw")
	if err := done(ctx); err != nil {
		t.Error(err)
	}
	e.Must(t, "rmi", "packed:1")
	e.CollectGarbage(t)
	again := e.Restore(t, "raw", "--name", "raw", "--trust")
	wentOn(t, e, again, before, after)
	e.Remove(t, again)
	e.Must(t, "rmi", "raw")
}

// TestRewind goes back six times to where a container was, which goes on in
// between.
func TestRewind(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.RunCounter(t, "loop", "--restart", "always")
	var kept, restored, committed time.Duration
	const rounds = 6
	for n := range rounds {
		from := e.Counted(t, id)
		kept += took(func() { e.Must(t, "baleen", "checkpoint", id, "loop:1") })
		e.Remove(t, id)
		restored += took(func() { id = e.Restore(t, "loop:1") })
		wentOn(t, e, id, from, from)
		committed += took(func() {
			e.Must(t, "commit", id, "loop:files")
			e.Must(t, "run", "-d", "--name", "beside", "loop:files")
		})
		e.Remove(t, "beside")
		if t.Failed() {
			t.Fatalf("in round %d", n+1)
		}
	}
	t.Logf("%d rounds: a checkpoint in %s, a restore in %s; a commit and run in %s", rounds,
		kept/rounds, restored/rounds, committed/rounds)
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
	harness.NeedCRIU(t)
	e, proxy := harness.StartFaultyWith(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	id := e.RunCounter(t, "counter")
	before := e.Counted(t, id)
	e.Must(t, "checkpoint", "create", id, "point")
	harness.Eventually(t, "the container to end", func() error {
		if got := e.Inspect(t, id, "{{.State.Status}}"); got != "exited" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	collected := false
	proxy.Set(fault.Plan{Methods: []string{"Tasks/Create"}, Nth: 1, Pass: true, Do: func() {
		e.CollectGarbage(t)
		collected = true
	}})
	e.Must(t, "start", "--checkpoint", "point", id)
	proxy.Clear()
	if !collected {
		t.Error("nothing was collected meanwhile")
	}
	wentOn(t, e, id, before, before)
}

// TestDockerCheckpoint: the ordinary docker command's checkpoints are made and
// started from.
func TestDockerCheckpoint(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	id := e.RunCounter(t, "counter", "--tmpfs", "/tmp")
	e.Must(t, "exec", id, "touch", "/tmp/in-memory")
	for n := range 3 {
		name := fmt.Sprint("point", n)
		before := e.Counted(t, id)
		e.Must(t, "checkpoint", "create", id, name)
		harness.Eventually(t, "the container to end", func() error {
			if got := e.Inspect(t, id, "{{.State.Status}}"); got != "exited" {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
		e.Must(t, "start", "--checkpoint", name, id)
		wentOn(t, e, id, before, before)
		e.Must(t, "exec", id, "test", "-e", "/tmp/in-memory")
	}
	if list := e.Must(t, "checkpoint", "ls", id); strings.Count(list, "point") != 3 {
		t.Errorf("the checkpoints are\n%s", list)
	}
}

// TestProcessesCannotBeKept: what CRIU cannot do is said, and the container goes
// on.
func TestProcessesCannotBeKept(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	for name, test := range map[string]struct {
		options []string
		want    string
	}{
		"terminal": {[]string{"-t"}, "it has a terminal (-t)"},
		"removed":  {[]string{"--rm"}, "it was created with --rm"},
	} {
		id := e.RunCounter(t, name, test.options...)
		before := e.State(t)
		out, err := e.Try(t, "baleen", "checkpoint", id, "none:1")
		if err == nil || !strings.Contains(out, test.want) || !strings.Contains(out, "--no-process") {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		e.Settled(t, before)
		e.CountsPast(t, id, e.Counted(t, id))
		e.Remove(t, id)
	}
	id := e.RunCounter(t, "counter", "--device", "/dev/loop-control", "-e", "FIRST=exec 5< /dev/loop-control")
	before := e.State(t)
	out, err := e.Try(t, "baleen", "checkpoint", id, "none:1")
	if err == nil || !strings.Contains(out, "keep the processes: ") || !strings.Contains(out, "Can't dump file") {
		t.Errorf("with an open device: %v, %s", err, out)
	}
	e.Settled(t, before)
	e.CountsPast(t, id, e.Counted(t, id))
	e.Remove(t, id)

	id = e.RunCounter(t, "counter")
	e.Must(t, "baleen", "checkpoint", "--leave-running", id, "kept:1")
	e.Remove(t, id)
	newerCRIU(t, e, "kept:1", "newer")
	before = e.State(t)
	for _, network := range []string{"host", "container:any"} {
		out, err := e.Try(t, "baleen", "restore", "--network", network, "kept:1")
		if err == nil || !strings.Contains(out, "network "+network) || !strings.Contains(out, "a network namespace of their own") {
			t.Errorf("onto network %s: %v, %s", network, err, out)
		}
	}
	e.Settled(t, before)
	if out, err := e.Try(t, "baleen", "restore", "--trust", "newer"); err == nil || !strings.Contains(out, "CRIU 99.1 kept them, and the daemon has") {
		t.Errorf("of a newer CRIU: %v, %s", err, out)
	}
	e.Settled(t, before)
}

// newerCRIU makes a checkpoint like another that a CRIU of the future has made.
func newerCRIU(t *testing.T, e *harness.Env, ref, name string) {
	t.Helper()
	read := e.ReadCheckpoint(t, ref)
	read.CRIU = "99.1"
	putCheckpoint(t, e, read, name)
}

// TestKilledWhileKeeping kills the daemon in the middle of checkpoints with
// processes: the container goes on, and of the checkpoint nothing is left or all.
func TestKilledWhileKeeping(t *testing.T) {
	harness.NeedCRIU(t)
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	id := e.RunCounter(t, "counter")
	before := e.State(t)
	for n := range 8 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			// It may end before it is killed.
			_, _ = e.Try(t, "baleen", "checkpoint", "--leave-running", id, "kept:1")
		}()
		time.Sleep(time.Duration(n*60) * time.Millisecond)
		e.KillAndStart(t, stack.Dockerd)
		<-done
		e.CountsPast(t, id, e.Counted(t, id))
		if out, err := e.Try(t, "image", "inspect", "kept:1"); err == nil {
			again := e.Restore(t, "kept:1", "--name", "again")
			e.CountsPast(t, again, e.Counted(t, again))
			e.Remove(t, again)
			e.Must(t, "rmi", "kept:1")
		} else if !strings.Contains(out, "No such image") {
			t.Errorf("%v: %s", err, out)
		}
		e.Must(t, "image", "prune", "-f") // one that had no name yet
	}
	e.Settled(t, before)
}

// TestKilledBeforeTheEnd kills the daemon when a checkpoint is whole and the processes,
// which stand still, are about to be ended: they go on. The checkpoint stays.
func TestKilledBeforeTheEnd(t *testing.T) {
	harness.NeedCRIU(t)
	e, p := harness.StartFaultyWith(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	id := e.RunCounter(t, "counter")
	before := e.State(t)
	killed := make(chan error, 1)
	p.Set(fault.Plan{Methods: []string{"Tasks/Kill"}, Nth: 1, Do: func() { killed <- e.KillDockerd(context.WithoutCancel(t.Context())) }})
	if out, err := e.Try(t, "baleen", "checkpoint", id, "kept:1"); err == nil {
		t.Errorf("the command prints %s", out)
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	p.Clear()
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.CountsPast(t, id, e.Counted(t, id))
	e.Must(t, "rmi", "kept:1")
	e.Settled(t, before)
}
