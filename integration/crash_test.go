package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/integration/stack"
)

// killRounds is how often the kill test kills; BALEEN_KILL_ROUNDS sets another
// number, for long runs.
func killRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("BALEEN_KILL_ROUNDS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BALEEN_KILL_ROUNDS is %q", text)
	}
	return n
}

// TestKilledCommit kills dockerd and containerd at random instants of commits.
// Afterwards there are whole images only, each acknowledged one among them; the
// container goes on, and nothing else is left.
func TestKilledCommit(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	id := e.run(t, "busybox", "dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null; for i in $(seq 200); do echo $i > /f$i; done")
	before := e.state(t)
	before.leases = nil
	acknowledged := 0
	for range killRounds(t) {
		// A container whose pause containerd did not live to acknowledge is
		// thawed in the background.
		e.eventually(t, "the container to be thawed", func() error {
			out, err := e.try(t, "exec", id, "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=1 conv=notrunc 2>/dev/null")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		done := make(chan struct{})
		var out string
		var failed error
		go func() {
			defer close(done)
			out, failed = output(e.Docker(context.WithoutCancel(t.Context()), "commit", id))
		}()
		time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
		e.killAndStart(t, []stack.Daemon{stack.Dockerd, stack.Containerd}[random.IntN(2)])
		<-done
		if failed == nil {
			acknowledged++
			if got := e.docker(t, "run", "--rm", out, "stat", "-c", "%s", "/big"); got != fmt.Sprint(24<<20) {
				t.Errorf("the acknowledged image %s holds a file of %s bytes", out, got)
			}
		}
		e.wholeImagesOnly(t)
		e.eventually(t, "the container to go on and the rest to go", func() error {
			if status := e.inspect(t, id, "{{.State.Status}}"); status != "running" {
				return fmt.Errorf("the container is %s", status)
			}
			after := e.state(t)
			after.leases = nil // of these the check tells
			if err := before.compare(after); err != nil {
				return err
			}
			return e.inconsistent(t)
		})
	}
	t.Logf("%d rounds, %d commits were acknowledged", killRounds(t), acknowledged)
}

func (e *env) killAndStart(t *testing.T, d stack.Daemon) {
	t.Helper()
	kill, start := e.KillDockerd, e.StartDockerd
	if d == stack.Containerd {
		kill, start = e.KillContainerd, e.StartContainerd
	}
	if err := kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After containerd's end dockerd needs a moment to find it again.
	e.eventually(t, "dockerd to answer", func() error {
		_, err := e.try(t, "images")
		return err
	})
}

// wholeImagesOnly runs every untagged image and removes it.
func (e *env) wholeImagesOnly(t *testing.T) {
	t.Helper()
	for _, image := range strings.Fields(e.docker(t, "images", "-q", "--no-trunc", "-f", "dangling=true")) {
		if got := e.docker(t, "run", "--rm", image, "sh", "-c", "cat /f200; stat -c %s /big"); got != fmt.Sprint("200\n", 24<<20) {
			t.Errorf("image %s holds %q", image, got)
		}
		e.docker(t, "rmi", image)
	}
}

// TestCancelledCommit: a client that goes away in the middle of a commit leaves
// nothing but the container, running.
func TestCancelledCommit(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null")
	before := e.state(t)
	for _, wait := range []time.Duration{50, 200, 500, 1000} {
		ctx, cancel := context.WithTimeout(t.Context(), wait*time.Millisecond)
		out, err := output(e.Docker(ctx, "commit", id))
		cancel()
		if err == nil {
			e.docker(t, "rmi", out)
		}
		e.eventually(t, "the commit to end", func() error {
			if status := e.inspect(t, id, "{{.State.Status}}"); status != "running" {
				return fmt.Errorf("the container is %s", status)
			}
			return nil
		})
		e.settled(t, before)
	}
}

// TestRootIsMountedOnce watches the mounts while running containers are
// committed and compared: an upper directory that two overlays use at once may
// lose writes.
func TestRootIsMountedOnce(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "dd if=/dev/urandom of=/big bs=1M count=40 2>/dev/null")
	orders := [][]string{{"commit", id}, {"diff", id}, {"commit", noPause(t), id}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, args := range orders {
			if out, err := output(e.Docker(t.Context(), args...)); err != nil {
				t.Errorf("docker %v: %v\n%s", args, err, out)
			}
		}
	}()
	looks, seen := 0, 0
	for running := true; running; looks++ {
		select {
		case <-done:
			running = false
		default:
		}
		infos := e.mountInfo(t)
		for _, m := range infos {
			if strings.Contains(m.VFSOptions, "upperdir=") {
				seen++
			}
		}
		if err := mountedOnce(infos); err != nil {
			t.Fatal(err)
		}
	}
	if seen == 0 {
		t.Fatalf("in %d looks the container's own mount was not seen: they looked at the wrong place", looks)
	}
}

// mountedOnce returns an error if a folder that is one overlay's upper is the
// upper, or a lower, of another. A bind mount shows the same overlay again,
// with the same number.
func mountedOnce(infos []*mountinfo.Info) error {
	uppers := map[string]*mountinfo.Info{}
	for _, m := range infos {
		for _, o := range strings.Split(m.VFSOptions, ",") {
			if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
				uppers[dir] = m
			}
		}
	}
	for _, m := range infos {
		for _, o := range strings.Split(m.VFSOptions, ",") {
			key, dirs, _ := strings.Cut(o, "=")
			if key != "upperdir" && key != "lowerdir" && key != "lowerdir+" {
				continue
			}
			for _, dir := range strings.Split(dirs, ":") {
				if owner := uppers[dir]; owner != nil && owner.Minor != m.Minor {
					return fmt.Errorf("the upper of %s is used by %s too: %s", owner.Mountpoint, m.Mountpoint, o)
				}
			}
		}
	}
	return nil
}

// TestSweep: a lease of an operation that a crash cut short is removed at
// start, and no other.
func TestSweep(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "true")
	before := e.state(t)
	lm := e.client.LeasesService()
	owner := e.docker(t, "info", "-f", "{{.ID}}")
	for _, opt := range []leases.Opt{
		leases.WithLabels(map[string]string{"io.baleen.operation": "commit", "io.baleen.object": id, "io.baleen.owner": owner}),
		leases.WithLabels(map[string]string{"io.baleen.operation": "commit", "io.baleen.object": id, "io.baleen.owner": "somebody.else"}),
		leases.WithLabels(map[string]string{"somebody.else": "x"}),
	} {
		if _, err := lm.Create(e.ctx(t), leases.WithRandomID(), opt); err != nil {
			t.Fatal(err)
		}
	}
	e.becomes(t, stack.Fork)
	after := e.state(t)
	var others []string
	for _, l := range after.leases {
		if strings.Contains(l, owner) {
			t.Errorf("lease %s was not swept", l)
		}
		if strings.Contains(l, "somebody.else") {
			others = append(others, l)
		}
	}
	if len(others) != 2 || len(after.leases) != len(before.leases)+2 {
		t.Errorf("before there were %v, now %v", before.leases, after.leases)
	}
}

// TestLostLease: a container's layer that has lost its lease is held again, not
// given up.
func TestLostLease(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "echo precious > /precious")
	e.docker(t, "stop", "-t", "0", id)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Deleting a lease collects garbage: the label holds the layer meanwhile.
	e.label(t, id, "containerd.io/gc.root", "test")
	if err := e.client.LeasesService().Delete(e.ctx(t), leases.Lease{ID: id}, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.label(t, id, "containerd.io/gc.root", "")
	e.docker(t, "rm", e.docker(t, "create", "busybox")) // collects garbage
	e.docker(t, "start", id)
	if got := e.docker(t, "exec", id, "cat", "/precious"); got != "precious" {
		t.Errorf("the layer holds %q", got)
	}
}

// label sets a label of a snapshot, or removes it when the value is empty.
func (e *env) label(t *testing.T, key, label, value string) {
	t.Helper()
	info := snapshots.Info{Name: key, Labels: map[string]string{label: value}}
	if _, err := e.client.SnapshotService(snapshotter).Update(e.ctx(t), info, "labels."+label); err != nil {
		t.Fatal(err)
	}
}
