package history_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKeepsDeepTreeWithMappedIDs keeps a stopped container in a user namespace whose
// directories no path leads to: their owners are mapped all the same.
func TestKeepsDeepTreeWithMappedIDs(t *testing.T) {
	config := harness.UsernsConfig("mount", map[string]any{"bridge": "none"})
	e := harness.Start(t, config, "busybox")
	before := e.State(t)
	name := strings.Repeat("n", 250)
	id := e.Create(t, "busybox", "sh", "-c", "test -e /deep || { mkdir /deep; /fstool deep 60 "+name+" /deep; }; cd /deep; for i in 1 2 3 4 5; do cd n*; done; stat -c %u .")
	e.Must(t, "cp", harness.BuildFSTool(t), id+":/fstool")
	for _, step := range [][]string{{"baleen", "snapshot", id}, {"baleen", "snapshot", id}, {"baleen", "rollback", id, "1"}} {
		if out := e.Must(t, "start", "-a", id); out != "0" {
			t.Errorf("after %d levels the owner is %s", 5, out)
		}
		e.Must(t, step...)
	}
	if err := errors.Join(e.StopDockerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
		t.Fatal(err)
	}
	if out := e.Must(t, "start", "-a", id); out != "0" {
		t.Errorf("after a restart of the daemon the owner is %s", out)
	}
	e.Remove(t, id)
	e.Settled(t, before)
}

// TestKeepsForeignRootWithMappedIDs keeps a container whose root directory belongs to
// somebody who is not in the mapping: it shares the host's user namespace.
func TestKeepsForeignRootWithMappedIDs(t *testing.T) {
	e := harness.Start(t, harness.UsernsConfig("mount", map[string]any{"bridge": "none"}), "busybox")
	id := e.Create(t, "--userns=host", "--privileged", "busybox", "sh", "-c",
		"chown 70000:70001 /; test -e /locked || { echo x > /locked; chown 100005 /locked; }; stat -c %u:%g /")
	for at := range 2 {
		if out, err := e.Try(t, "start", "-a", id); err != nil || !strings.HasSuffix(out, "70000:70001") {
			t.Errorf("it prints %q: %v", out, err)
		}
		if at == 0 { // as a privileged container can, if it has the program
			active, _ := foldersOf(t, e, id)
			locked := filepath.Join(active.files, "locked")
			chattr(t, e, "+i", locked)
			defer func() {
				_, below := foldersOf(t, e, id)
				chattr(t, e, "-i", filepath.Join(below[1].files, "locked"))
			}()
		}
		e.Must(t, "baleen", "snapshot", id)
	}
}

func chattr(t *testing.T, e *harness.Env, flag, path string) {
	t.Helper()
	if out, err := harness.Output(e.Command(t.Context(), "chattr", flag, path)); err != nil {
		t.Fatalf("chattr %s %s: %v\n%s", flag, path, err, out)
	}
}

// xfs returns a folder on an XFS of 1 GiB, whose files may have more attributes than ext4.
func xfs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "bx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	v, err := volume.OpenLoop(t.Context(), volume.XFS, dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v.Dir
}

// cutCrowded cuts a switch to revision 1 in two, and gives the root of the revision more
// attributes than the kernel lists.
func cutCrowded(t *testing.T, e *harness.Env, id, long string) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.CutSwitch(t, id, 1)
	layers, err := e.History(t, id).Layers(e.Context(t), id+".r1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := unix.Setxattr(layers.Lowers[0], fmt.Sprint("user.", i, long), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCrowdedRoot keeps a container whose root directory has more attributes than
// the kernel lists: that is refused, and the container is what it was. One that goes
// elsewhere is kept, and cannot be gone back to. So is an upgrade of one with such a file.
func TestCrowdedRoot(t *testing.T) {
	e := harness.Start(t, stack.Config{Root: filepath.Join(xfs(t), "s"), DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	before := e.State(t)
	const limit = "the kernel lists 65536"
	long := strings.Repeat("n", 240)
	id := e.Create(t, "busybox", "sh", "-c", "case $(cat /do) in fill) for i in $(seq 300); do /fstool setxattr user.${i}"+long+" x /; done;; "+
		"clear) for i in $(seq 300); do /fstool removexattr user.${i}"+long+" /; done;; esac; echo did $(cat /do)")
	e.Must(t, "cp", harness.BuildFSTool(t), id+":/fstool")
	do := func(what string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "do")
		harness.WriteFile(t, file, what)
		e.Must(t, "cp", file, id+":/do")
		if out := e.Must(t, "start", "-a", id); out != "did "+what {
			t.Errorf("it prints %s", out)
		}
	}
	do("nothing")
	e.Must(t, "baleen", "snapshot", id) // 1
	do("fill")
	for _, restart := range []bool{false, true} {
		if restart {
			if err := errors.Join(e.StopDockerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := e.Try(t, "baleen", "snapshot", id); err == nil || !strings.Contains(out, limit) {
			t.Errorf("the snapshot says %v: %s", err, out)
		}
		if listed := e.Must(t, "ps", "-aq", "--no-trunc"); listed != id {
			t.Fatalf("there are the containers %q", listed)
		}
		do("nothing")
	}
	e.Must(t, "baleen", "rollback", id, "1") // what it was is 2
	do("nothing")
	if out, err := e.Try(t, "baleen", "rollback", id, "2"); err == nil || !strings.Contains(out, limit) {
		t.Errorf("the rollback says %v: %s", err, out)
	}
	do("fill")
	do("clear")
	e.Must(t, "baleen", "snapshot", id)
	do("nothing")

	// A switch that an earlier version cut in two does not mind.
	cutCrowded(t, e, id, long)
	do("nothing")
	do("fill")
	e.Must(t, "rm", "-f", id)
	refuseCrowdedFile(t, e)
	e.Settled(t, before)
}

// TestMarkedByItself seals a container whose root has the attribute that tells an
// empty folder from the container's, as a privileged one can give it. Wherever the
// seal is cut, the container keeps what it wrote.
func TestMarkedByItself(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}})
	for name, value := range map[string]string{"same": "1", "long": strings.Repeat("1", 200)} {
		t.Run(name, func(t *testing.T) {
			for at, where := 1, "first"; where != ""; at++ {
				k := newKept(t, e, fmt.Sprint("marked-", name, at), harness.Snapshotter)
				k.write(t, "a", "1")
				upper := filepath.Join(k.folder(t), "fs")
				if err := unix.Setxattr(upper, "trusted.baleen.empty", []byte(value), 0); err != nil {
					t.Fatal(err)
				}
				where = k.cutAt(at, true, func(k *kept) error { _, err := k.Seal(k.ctx, harness.NewRecord("snapshot")); return err })
				k.recovered(t, fmt.Sprint("call ", at, ", ", where))
				k.must(t, map[string]string{"a": "1"})
				if t.Failed() {
					t.Fatalf("cut at call %d, %s", at, where)
				}
			}
		})
	}
}
