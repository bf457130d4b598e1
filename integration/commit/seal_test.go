package commit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
	snapshots "github.com/baleen-project/baleen/snapshotter"
)

const (
	// sparingChange changes the files of a container once more: the first time it
	// makes large ones, then it writes in them, and then it moves, removes and adds.
	sparingChange = `n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n > /n.new; mv /n.new /n
case $n in
1) mkdir -p /data/sub; dd if=/dev/urandom of=/data/large bs=1M count=20 2>/dev/null; ln /data/large /data/sub/twin
   dd if=/dev/urandom of=/data/capable bs=1M count=2 2>/dev/null; chmod 4711 /data/capable; chown 5:6 /data/capable
   dd if=/dev/urandom of=/data/sparse bs=1M count=1 seek=30 2>/dev/null; echo small > /data/small; rm /etc/group;;
2) echo more | dd of=/data/large bs=1M seek=3 conv=notrunc 2>/dev/null; echo more >> /data/small; chmod 700 /data/sub;;
3) mv /data/sub /data/moved; rm /data/capable; cp /data/large /data/third; mkdir /data/sub;;
esac`
	sparingLook = `cd /; find data n | sort | while read f; do stat -c '%n %F %a %u:%g %Y' $f; if test -f $f; then md5sum < $f; fi; done; ls /etc/group 2>&1 || :`
)

// TestSealCommits commits stopped containers under the feature
// baleen-seal-commits: their large files are linked into the images.
func TestSealCommits(t *testing.T) {
	// TestSealCommitsWithMappedIDs has the default compression.
	config := harness.SparingConfig()
	config.DaemonConfig["storage-opts"] = []string{"baleen.compression=none"}
	e := harness.Start(t, config, "busybox")
	if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
		t.Skipf("the file system of %s shares data by itself, so nothing is sealed (%v)", e.Root(), err)
	}
	for name, test := range map[string]func(*testing.T, *harness.Env, string){
		"three times":           sealedThrice,
		"while others commit":   sealedAtOnce,
		"while it starts":       sealedWhileStarting,
		"while it is removed":   sealedWhileRemoved,
		"many times":            sealedManyTimes,
		"too small, or running": notSealed,
		"after a reload":        sealedAfterReload,
	} {
		t.Run(name, func(t *testing.T) {
			before := e.StateAtRest(t)
			id := e.Must(t, "create", "--network=none", "busybox", "sh", "-ec", sparingChange+"\n"+sparingLook)
			defer e.Remove(t, id)
			test(t, e, id)
			e.Remove(t, id)
			removeImages(t, e, before)
			e.Settled(t, before)
		})
	}
}

// removeImages removes the images that are not of a state.
func removeImages(t *testing.T, e *harness.Env, before harness.State) {
	t.Helper()
	for _, id := range strings.Fields(e.Must(t, "images", "-aq", "--no-trunc")) {
		if !slices.ContainsFunc(before.Images, func(line string) bool { return strings.HasSuffix(line, " "+id) }) {
			e.Must(t, "rmi", "-f", id)
		}
	}
}

// looks is what the container prints that is, or would be, of an image.
func looks(t *testing.T, e *harness.Env, image string) string {
	t.Helper()
	return e.Must(t, "run", "--rm", "--network=none", image, "sh", "-ec", sparingLook)
}

// sealedThrice commits a container three times, and changes it before each. Each
// image is and stays what the container was, also away from here, and what was
// written for it is the blob.
func sealedThrice(t *testing.T, e *harness.Env, id string) {
	states := map[string]string{}
	for n := 1; n <= 3; n++ {
		want := e.Must(t, "start", "-a", id)
		before := e.BytesWritten(t)
		image := e.Must(t, "commit", id, fmt.Sprint("sealed:", n))
		writesOnlyBlob(t, e, image, before)
		states[image] = want
		sharesLarge(t, e, image)
		for image, want := range states {
			if got := looks(t, e, image); got != want {
				t.Errorf("after commit %d an image has\n%s\nand the container had\n%s", n, got, want)
			}
		}
	}
	if again := e.Must(t, "commit", id); e.Image(t, again).Config.RootFS.DiffIDs[1] != e.Image(t, e.Inspect(t, "sealed:3", "{{.Id}}")).Config.RootFS.DiffIDs[1] {
		t.Error("a commit of nothing new has another layer")
	}
	looksWhole(t, e, id)
	comesBack(t, e, states)
}

// sharesLarge checks what an image's snapshot takes for itself: not its large
// files.
func sharesLarge(t *testing.T, e *harness.Env, image string) {
	t.Helper()
	var top string
	e.WithView(t, harness.ChainOf(e.Image(t, image)), func(mounts []mount.Mount) { top = harness.TopLayer(t, mounts) })
	var own, shared int64
	err := filepath.WalkDir(top, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Nlink > 1 {
			shared += st.Blocks * 512 / int64(st.Nlink)
		} else {
			own += st.Blocks * 512
		}
		return nil
	})
	t.Logf("the image's snapshot has %d bytes on disk of its own, and shares about %d", own, shared)
	if err != nil || own > 1<<20 || shared < 10<<20 {
		t.Errorf("the image's snapshot has %d bytes of its own and shares %d, %v", own, shared, err)
	}
}

// looksWhole checks that of a container that was changed and committed three times
// all is told, and nothing of the layers.
func looksWhole(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	want := "A /data\nA /data/large\nA /data/moved\nA /data/moved/twin\nA /data/small\nA /data/sparse\nA /data/sub\nA /data/third\nA /n\nC /etc\nD /etc/group"
	changes := strings.Split(e.Must(t, "diff", id), "\n")
	slices.Sort(changes)
	if got := strings.Join(changes, "\n"); got != want {
		t.Errorf("docker diff says\n%s, want\n%s", got, want)
	}
	size, err := strconv.ParseInt(inspectSize(t, e, id), 10, 64)
	if err != nil || size < 60<<20 || size > 120<<20 {
		t.Errorf("its size is %d, %v", size, err)
	}
	if got := e.Must(t, "ps", "-as", "--no-trunc", "--format", "{{.Size}}", "-f", "id="+id); !strings.Contains(got, "MB (virtual") {
		t.Errorf("docker ps -s says %q", got)
	}
	if n := strings.Count(e.Must(t, "baleen", "revisions", id), "\n"); n != 0 {
		t.Errorf("it has %d revisions", n)
	}
}

func inspectSize(t *testing.T, e *harness.Env, id string) string {
	t.Helper()
	return e.Must(t, "inspect", "-s", "-f", "{{.SizeRw}}", id)
}

// comesBack removes images, also from those that share with them, and loads them
// from their blobs.
func comesBack(t *testing.T, e *harness.Env, states map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "saved.tar")
	e.Must(t, "save", "-o", file, "sealed:1", "sealed:2", "sealed:3")
	for n := 1; n <= 3; n++ {
		image := e.Inspect(t, fmt.Sprint("sealed:", n), "{{.Id}}")
		e.Must(t, "rmi", "-f", image)
		for other := range states {
			if other == image {
				delete(states, image)
			} else if got := looks(t, e, other); got != states[other] {
				t.Errorf("without image %d another one has\n%s, want\n%s", n, got, states[other])
			}
		}
	}
}

// notSealed commits a container that is not worth sealing, and one that runs.
func notSealed(t *testing.T, e *harness.Env, id string) {
	small := e.Must(t, "create", "--network=none", "busybox", "sh", "-c", "dd if=/dev/zero of=/file bs=1M count=15 2>/dev/null")
	defer e.Remove(t, small)
	e.Must(t, "start", "-a", small)
	e.Must(t, "commit", small)
	runs := e.Run(t, "busybox", "dd if=/dev/zero of=/file bs=1M count=20 2>/dev/null", "--network=none")
	e.Must(t, "commit", runs)
	e.Must(t, "commit", id) // has never run
	for _, name := range e.State(t).Snapshots {
		for _, id := range []string{small, runs, id} {
			if strings.HasPrefix(name, id+".") {
				t.Errorf("the commit has made snapshot %s", name)
			}
		}
	}
	e.Remove(t, runs)
	e.Remove(t, small)
}

// sealedAfterReload turns the feature off and on while the daemon runs.
func sealedAfterReload(t *testing.T, e *harness.Env, id string) {
	path := filepath.Join(e.Root(), "daemon.json")
	on, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n, text := range []string{strings.Replace(string(on), `"baleen-seal-commits": true`, `"baleen-seal-commits": false`, 1), string(on)} {
		harness.WriteFile(t, path, text)
		if err := unix.Kill(e.Pid(stack.Dockerd), unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the daemon to reload", func() error {
			if times := strings.Count(e.LogTail(stack.Dockerd, 2000), "Reloaded configuration"); times <= n {
				return fmt.Errorf("so far it did %d times", times)
			}
			return nil
		})
		e.Must(t, "start", "-a", id)
		e.Must(t, "commit", id)
		sealed := slices.ContainsFunc(e.State(t).Snapshots, func(name string) bool { return strings.HasPrefix(name, id+".") })
		if sealed != (n == 1) {
			t.Errorf("after reload %d: sealed is %v", n+1, sealed)
		}
	}
}

// TestSealCommitsWithMappedIDs commits containers whose ids are mapped: by mounting
// they are sealed, and with a copy of the image they are copied.
func TestSealCommitsWithMappedIDs(t *testing.T) {
	for _, way := range []string{"mount", "copy"} {
		t.Run(way, func(t *testing.T) {
			e := harness.Start(t, harness.UsernsConfig(way, harness.SparingConfig().DaemonConfig), "busybox")
			if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
				t.Skipf("the file system of %s shares data by itself, so nothing is sealed (%v)", e.Root(), err)
			}
			id := e.Must(t, "create", "--network=none", "busybox", "sh", "-ec", sparingChange+"\n"+sparingLook)
			defer e.Remove(t, id)
			if way == "mount" {
				sealedThrice(t, e, id)
				return
			}
			want := e.Must(t, "start", "-a", id)
			if got := looks(t, e, e.Must(t, "commit", id)); got != want {
				t.Errorf("the image has\n%s\nand the container had\n%s", got, want)
			}
			if parent := e.ActiveSnapshot(t, id).Parent; parent != id+"-init" {
				t.Errorf("the container stands on %s", parent)
			}
		})
	}
}

// TestKilledSealedCommit kills dockerd at each call by which a container is sealed
// and committed. The container has all that it wrote, and nothing else is left.
func TestKilledSealedCommit(t *testing.T) {
	e, proxy := harness.StartFaultyWith(t, harness.SparingConfig(), "busybox")
	if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
		t.Skipf("the file system of %s shares data by itself, so nothing is sealed (%v)", e.Root(), err)
	}
	before := e.StateAtRest(t)
	for n := 1; !t.Failed(); n++ {
		id := e.Must(t, "create", "--network=none", "busybox", "sh", "-ec", sparingChange+"\n"+sparingLook)
		want := e.Must(t, "start", "-a", id)
		killed := make(chan error, 1)
		proxy.Set(fault.Plan{
			Methods: []string{"Snapshots/Prepare", "Snapshots/Commit", "Snapshots/Remove", "Snapshots/Update"}, Nth: n, After: n%2 == 0,
			Do: func() { killed <- e.KillDockerd(context.WithoutCancel(t.Context())) },
		})
		image, err := e.Try(t, "commit", id)
		_, where := proxy.Clear()
		if where == "" { // the last one was before
			if err != nil {
				t.Fatalf("docker commit: %v: %s", err, image)
			}
			t.Logf("a commit makes %d calls", n-1)
			if got := looks(t, e, image); got != want {
				t.Errorf("the image has\n%s\nand the container had\n%s", got, want)
			}
			break
		}
		if err := errors.Join(<-killed, e.StartDockerd(t.Context())); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at call %d, %s", n, where)
		if got := looks(t, e, e.Must(t, "commit", id)); got != want {
			t.Errorf("the image has\n%s\nand the container had\n%s", got, want)
		}
		e.Remove(t, id)
		removeImages(t, e, before)
		e.Settled(t, before)
	}
}
