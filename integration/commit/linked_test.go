package commit_test

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
	snapshots "github.com/baleen-project/baleen/snapshotter"
)

const (
	// largeChange writes so much that the container is worth sealing.
	largeChange = `mkdir -p /data/sub && dd if=/dev/urandom of=/data/large bs=1M count=126 2>/dev/null && ln -f /data/large /data/sub/twin && ` +
		`dd if=/dev/urandom of=/data/capable bs=1M count=2 2>/dev/null && chmod 4711 /data/capable && echo small > /data/small && rm -f /etc/group`
	largeBytes = 128 << 20
	sums       = `cd / && md5sum /data/large /data/sub/twin /data/capable /data/small`
)

// TestLargeFilesAreLinked commits what has been sealed: the image shares the
// files, and what the container or a later image does changes nothing in it.
func TestLargeFilesAreLinked(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
		t.Skipf("the file system of %s shares data by itself, so nothing is linked (%v)", e.Root(), err)
	}
	for name, test := range map[string]func(*testing.T, *harness.Env){
		"build":                      linkedBuild,
		"build that keeps container": linkedBuildKept,
		"commit after a snapshot":    linkedCommit,
		"commit of a stopped one":    notLinked,
	} {
		t.Run(name, func(t *testing.T) {
			before := e.State(t)
			test(t, e)
			e.LeftOnlyImages(t, before)
		})
	}
}

// linkedBuild writes little but the blob for a step that writes much; the
// container is gone afterwards, and the image's files have the names that the
// image gives them.
func linkedBuild(t *testing.T, e *harness.Env) {
	buildLarge(t, e, "step")
	got, want := e.Must(t, "run", "--rm", "step", "sh", "-c", sums), e.Must(t, "run", "--rm", "step", "cat", "/sums")
	if got != want {
		t.Errorf("the step wrote\n%s\nand the image has\n%s", want, got)
	}
	modes := e.Must(t, "run", "--rm", "step", "stat", "-c", "%n %a %h", "/data/large", "/data/capable", "/data/small")
	if want := "/data/large 644 2\n/data/capable 4711 1\n/data/small 644 1"; modes != want {
		t.Errorf("the image's files are\n%s, want\n%s", modes, want)
	}
}

// buildLarge builds an image, and checks how much dockerd writes for it: the
// layer's blob goes through it.
func buildLarge(t *testing.T, e *harness.Env, name string, flags ...string) (out string) {
	t.Helper()
	before := e.BytesWritten(t)
	out, err := e.Build(t, "FROM busybox\nRUN "+largeChange+" && { "+sums+"; } > /sums\n", append([]string{"--no-cache", "-t", name}, flags...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	writesOnlyBlob(t, e, name, before)
	return out
}

// writesOnlyBlob checks that dockerd has not written much more than an image's
// last blob since a count.
func writesOnlyBlob(t *testing.T, e *harness.Env, image string, before int64) {
	t.Helper()
	written := e.BytesWritten(t) - before
	layers := e.Image(t, e.Inspect(t, image, "{{.Id}}")).Manifest.Layers
	blob := layers[len(layers)-1].Size
	t.Logf("a blob of %d bytes, %d written", blob, written)
	if most := blob + 8<<20; written > most {
		t.Errorf("dockerd wrote %d bytes for a blob of %d", written, blob)
	}
}

// linkedBuildKept keeps the step's container: it goes on as if nothing had
// happened, and what it writes is not in the image.
func linkedBuildKept(t *testing.T, e *harness.Env) {
	out := buildLarge(t, e, "kept", "--rm=false")
	found := regexp.MustCompile(`Running in ([0-9a-f]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no container in\n%s", out)
	}
	id := e.Must(t, "inspect", "-f", "{{.Id}}", found[1])
	defer e.Remove(t, id)
	if n := strings.Count(e.Must(t, "baleen", "revisions", id), "\n"); n != 0 {
		t.Errorf("it has %d revisions", n)
	}
	want := "A /data\nA /data/capable\nA /data/large\nA /data/small\nA /data/sub\nA /data/sub/twin\nA /sums\nC /etc\nD /etc/group"
	changes := strings.Split(e.Must(t, "diff", id), "\n")
	slices.Sort(changes)
	if got := strings.Join(changes, "\n"); got != want {
		t.Errorf("docker diff says\n%s, want\n%s", got, want)
	}
	size, err := strconv.ParseInt(e.Must(t, "inspect", "-s", "-f", "{{.SizeRw}}", id), 10, 64)
	if err != nil || size < largeBytes {
		t.Errorf("its size is %d, %v", size, err)
	}
	first := e.Must(t, "run", "--rm", "kept", "sh", "-c", sums)
	chain := e.Image(t, e.Inspect(t, "kept", "{{.Id}}")).Config.RootFS.DiffIDs
	file := func() (at unix.Stat_t) {
		viewed(t, e, identity.ChainID(chain).String(), func(root string) {
			if err := unix.Lstat(filepath.Join(root, "data/large"), &at); err != nil {
				t.Fatal(err)
			}
		})
		return at
	}
	if n := file().Nlink; n < 3 {
		t.Errorf("the image's file has %d names: it is not shared", n)
	}

	// Started again it runs the step again, over what is there.
	e.Must(t, "start", "-a", id)
	e.Must(t, "commit", id, "again")
	if now := e.Must(t, "run", "--rm", "kept", "sh", "-c", sums); now != first {
		t.Errorf("the image had\n%s\nand has\n%s", first, now)
	}
	if again := e.Must(t, "run", "--rm", "again", "sh", "-c", sums); again == first {
		t.Error("the second image is the first one")
	}
	if got := e.Must(t, "run", "--rm", "again", "cat", "/sums"); got != e.Must(t, "run", "--rm", "again", "sh", "-c", sums) {
		t.Errorf("the second image is not what the container wrote: %s", got)
	}
	e.Remove(t, id)
	e.Must(t, "rmi", "again")
	if n := file().Nlink; n != 2 {
		t.Errorf("without the container the image's file has %d names, want 2", n)
	}
}

// viewed calls f with a snapshot, mounted.
func viewed(t *testing.T, e *harness.Env, name string, f func(root string)) {
	t.Helper()
	e.WithView(t, name, func(mounts []mount.Mount) {
		if err := mount.WithReadonlyTempMount(t.Context(), mounts, func(root string) error { f(root); return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// linkedCommit commits a container whose changes a snapshot has sealed.
func linkedCommit(t *testing.T, e *harness.Env) {
	id := e.Must(t, "create", "busybox", "sh", "-ec", largeChange)
	defer e.Remove(t, id)
	e.Must(t, "start", "-a", id)
	e.Must(t, "baleen", "snapshot", id)
	before := e.BytesWritten(t)
	e.Must(t, "commit", id, "snapshotted")
	writesOnlyBlob(t, e, "snapshotted", before)
	first := e.Must(t, "run", "--rm", "snapshotted", "sh", "-c", sums)

	e.Must(t, "start", "-a", id) // writes all again
	before = e.BytesWritten(t)
	e.Must(t, "commit", id, "rewritten")
	if written := e.BytesWritten(t) - before; written < 2*largeBytes {
		t.Errorf("only %d bytes were written: what the container can write was linked", written)
	}
	if now := e.Must(t, "run", "--rm", "snapshotted", "sh", "-c", sums); now != first {
		t.Errorf("the image had\n%s\nand has\n%s", first, now)
	}
	if again := e.Must(t, "run", "--rm", "rewritten", "sh", "-c", sums); again == first {
		t.Error("the second image is the first one")
	}
}

// notLinked tells that a commit by itself leaves a container as it is: it can
// rename its directories, and its files have one name.
func notLinked(t *testing.T, e *harness.Env) {
	id := e.Must(t, "create", "busybox", "sh", "-c", "test -e /data || { "+largeChange+"; exit; }; stat -c %h /data/capable")
	defer e.Remove(t, id)
	e.Must(t, "start", "-a", id)
	e.Must(t, "commit", id)
	if got := e.Must(t, "start", "-a", id); got != "1" {
		t.Errorf("a file of the container has %s names", got)
	}
	for _, i := range e.State(t).Snapshots {
		if strings.HasPrefix(i, id+".") {
			t.Errorf("the commit has made snapshot %s", i)
		}
	}
}

// TestKilledBuildStep kills dockerd at each call by which a step's container is
// sealed. The container has all that the step wrote, and nothing else is left.
func TestKilledBuildStep(t *testing.T) {
	// How the layer is packed does not matter here, and takes long.
	config := map[string]any{"bridge": "none", "storage-opts": []string{"baleen.compression=none"}}
	e, proxy := harness.StartFaultyWith(t, stack.Config{DaemonConfig: config}, "busybox")
	if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
		t.Skipf("the file system of %s shares data by itself, so nothing is sealed (%v)", e.Root(), err)
	}
	// The first three make the container.
	const first, last = 4, 9
	before := e.StateAtRest(t)
	for n := first; n <= last && !t.Failed(); n++ {
		killed := make(chan error, 1)
		proxy.Set(fault.Plan{
			Methods: []string{"Snapshots/Prepare", "Snapshots/Commit", "Snapshots/Remove", "Snapshots/Update"}, Nth: n, After: n%2 == 0,
			Do: func() { killed <- e.KillDockerd(context.WithoutCancel(t.Context())) },
		})
		out, err := e.Build(t, "FROM busybox\nRUN "+largeChange+" && { "+sums+"; } > /sums\n", "--no-cache", "--network=none")
		if err == nil {
			t.Fatalf("dockerd was not killed at call %d: %s", n, out)
		}
		_, where := proxy.Clear()
		if err := errors.Join(<-killed, e.StartDockerd(t.Context())); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at call %d, %s", n, where)
		stepIsWhole(t, e, e.Must(t, "ps", "-aq", "--no-trunc"))
		e.Must(t, "image", "prune", "-f")
		e.Settled(t, before)
	}
}

// stepIsWhole checks that a container has what the step wrote, by its sums.
func stepIsWhole(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	e.Must(t, "commit", id, "whole")
	want := e.Must(t, "run", "--rm", "--network=none", "whole", "cat", "/sums")
	if got := e.Must(t, "run", "--rm", "--network=none", "whole", "sh", "-c", sums); got != want {
		t.Errorf("the step wrote\n%s\nand its container has\n%s", want, got)
	}
	e.Must(t, "rmi", "whole")
	e.Remove(t, id)
}
