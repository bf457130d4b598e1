package kill_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKilledCommit kills dockerd and containerd at random instants of commits.
// Afterwards there are whole images only, each acknowledged one among them; the
// container goes on, and nothing else is left.
func TestKilledCommit(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	id := e.Run(t, "busybox", "dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null; for i in $(seq 200); do echo $i > /f$i; done")
	before := e.State(t)
	before.Leases = nil
	acknowledged := 0
	for range harness.KillRounds(t) {
		// A container whose pause containerd did not live to acknowledge is
		// thawed in the background.
		harness.Eventually(t, "the container to be thawed", func() error {
			out, err := e.Try(t, "exec", id, "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=1 conv=notrunc 2>/dev/null")
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
			out, failed = harness.Output(e.Docker(context.WithoutCancel(t.Context()), "commit", id))
		}()
		time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
		e.KillAndStart(t, []stack.Daemon{stack.Dockerd, stack.Containerd}[random.IntN(2)])
		<-done
		if failed == nil {
			acknowledged++
			if got := e.Must(t, "run", "--rm", out, "stat", "-c", "%s", "/big"); got != fmt.Sprint(24<<20) {
				t.Errorf("the acknowledged image %s holds a file of %s bytes", out, got)
			}
		}
		wholeImagesOnly(t, e)
		harness.Eventually(t, "the container to go on and the rest to go", func() error {
			if status := e.Inspect(t, id, "{{.State.Status}}"); status != "running" {
				return fmt.Errorf("the container is %s", status)
			}
			after := e.State(t)
			after.Leases = nil // of these the check tells
			if err := before.Compare(after); err != nil {
				return err
			}
			return e.Inconsistent(t)
		})
	}
	t.Logf("%d rounds, %d commits were acknowledged", harness.KillRounds(t), acknowledged)
}

// wholeImagesOnly runs every untagged image and removes it.
func wholeImagesOnly(t *testing.T, e *harness.Env) {
	t.Helper()
	for _, image := range strings.Fields(e.Must(t, "images", "-q", "--no-trunc", "-f", "dangling=true")) {
		if got := e.Must(t, "run", "--rm", image, "sh", "-c", "cat /f200; stat -c %s /big"); got != fmt.Sprint("200\n", 24<<20) {
			t.Errorf("image %s holds %q", image, got)
		}
		e.Must(t, "rmi", image)
	}
}

// TestCancelledCommit: a client that goes away in the middle of a commit leaves
// nothing but the container, running.
func TestCancelledCommit(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null")
	before := e.State(t)
	for _, wait := range []time.Duration{50, 200, 500, 1000} {
		ctx, cancel := context.WithTimeout(t.Context(), wait*time.Millisecond)
		out, err := harness.Output(e.Docker(ctx, "commit", id))
		cancel()
		if err == nil {
			e.Must(t, "rmi", out)
		}
		harness.Eventually(t, "the commit to end", func() error {
			if status := e.Inspect(t, id, "{{.State.Status}}"); status != "running" {
				return fmt.Errorf("the container is %s", status)
			}
			return nil
		})
		e.Settled(t, before)
	}
}

// TestRootIsMountedOnce watches the mounts while running containers are
// committed and compared: an upper directory that two overlays use at once may
// lose writes.
func TestRootIsMountedOnce(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "dd if=/dev/urandom of=/big bs=1M count=40 2>/dev/null")
	orders := [][]string{{"commit", id}, {"diff", id}, {"commit", harness.NoPauseOption(t), id}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, args := range orders {
			if out, err := harness.Output(e.Docker(t.Context(), args...)); err != nil {
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
		infos := e.MountInfo(t)
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
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "true")
	before := e.State(t)
	lm := e.Client.LeasesService()
	owner := e.Must(t, "info", "-f", "{{.ID}}")
	for _, opt := range []leases.Opt{
		leases.WithLabels(map[string]string{"io.baleen.operation": "commit", "io.baleen.object": id, "io.baleen.owner": owner}),
		leases.WithLabels(map[string]string{"io.baleen.operation": "commit", "io.baleen.object": id, "io.baleen.owner": "somebody.else"}),
		leases.WithLabels(map[string]string{"somebody.else": "x"}),
	} {
		if _, err := lm.Create(e.Context(t), leases.WithRandomID(), opt); err != nil {
			t.Fatal(err)
		}
	}
	e.SwitchTo(t, stack.Fork)
	after := e.State(t)
	var others []string
	for _, l := range after.Leases {
		if strings.Contains(l, owner) {
			t.Errorf("lease %s was not swept", l)
		}
		if strings.Contains(l, "somebody.else") {
			others = append(others, l)
		}
	}
	if len(others) != 2 || len(after.Leases) != len(before.Leases)+2 {
		t.Errorf("before there were %v, now %v", before.Leases, after.Leases)
	}
}

// TestLostLease: a container's layer that has lost its lease is held again, not
// given up.
func TestLostLease(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "echo precious > /precious")
	e.Must(t, "stop", "-t", "0", id)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Deleting a lease collects garbage: the label holds the layer meanwhile.
	label(t, e, id, "containerd.io/gc.root", "test")
	if err := e.Client.LeasesService().Delete(e.Context(t), leases.Lease{ID: id}, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	label(t, e, id, "containerd.io/gc.root", "")
	e.Must(t, "rm", e.Must(t, "create", "busybox")) // collects garbage
	e.Must(t, "start", id)
	if got := e.Must(t, "exec", id, "cat", "/precious"); got != "precious" {
		t.Errorf("the layer holds %q", got)
	}
}

// label sets a label of a snapshot, or removes it when the value is empty.
func label(t *testing.T, e *harness.Env, key, label, value string) {
	t.Helper()
	info := snapshots.Info{Name: key, Labels: map[string]string{label: value}}
	if _, err := e.Client.SnapshotService(harness.Snapshotter).Update(e.Context(t), info, "labels."+label); err != nil {
		t.Fatal(err)
	}
}
