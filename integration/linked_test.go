package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	"github.com/baleen-project/baleen/integration/stack"
	snapshots "github.com/baleen-project/baleen/snapshotter"
)

const (
	// largeChange writes so much that the container is worth sealing.
	largeChange = `mkdir -p /data/sub && dd if=/dev/urandom of=/data/large bs=1M count=126 2>/dev/null && ln -f /data/large /data/sub/twin && ` +
		`dd if=/dev/urandom of=/data/capable bs=1M count=2 2>/dev/null && chmod 4711 /data/capable && echo small > /data/small && rm -f /etc/group`
	largeBytes = 128 << 20
	sums       = `cd / && sha256sum /data/large /data/sub/twin /data/capable /data/small`
)

// TestLargeFilesAreLinked commits what has been sealed: the image shares the
// files, and what the container or a later image does changes nothing in it.
func TestLargeFilesAreLinked(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
		t.Skipf("the file system of %s shares data by itself, so nothing is linked (%v)", e.Root(), err)
	}
	for name, test := range map[string]func(*testing.T, *env){
		"build":                      linkedBuild,
		"build that keeps container": linkedBuildKept,
		"commit after a snapshot":    linkedCommit,
		"commit of a stopped one":    notLinked,
	} {
		t.Run(name, func(t *testing.T) {
			before := e.state(t)
			test(t, e)
			before.snapshots, before.images = nil, nil
			after := e.state(t)
			after.snapshots, after.images = nil, nil
			if err := before.compare(after); err != nil {
				t.Error(err)
			}
		})
	}
}

// linkedBuild writes little but the blob for a step that writes much; the
// container is gone afterwards, and the image's files have the names that the
// image gives them.
func linkedBuild(t *testing.T, e *env) {
	e.buildLarge(t, "step")
	got, want := e.docker(t, "run", "--rm", "step", "sh", "-c", sums), e.docker(t, "run", "--rm", "step", "cat", "/sums")
	if got != want {
		t.Errorf("the step wrote\n%s\nand the image has\n%s", want, got)
	}
	modes := e.docker(t, "run", "--rm", "step", "stat", "-c", "%n %a %h", "/data/large", "/data/capable", "/data/small")
	if want := "/data/large 644 2\n/data/capable 4711 1\n/data/small 644 1"; modes != want {
		t.Errorf("the image's files are\n%s, want\n%s", modes, want)
	}
}

// buildLarge builds an image, and checks how much dockerd writes for it: the
// layer's blob goes through it.
func (e *env) buildLarge(t *testing.T, name string, flags ...string) (out string) {
	t.Helper()
	before := e.written(t)
	out, err := e.build(t, "FROM busybox\nRUN "+largeChange+" && { "+sums+"; } > /sums\n", append([]string{"--no-cache", "-t", name}, flags...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e.writesOnlyBlob(t, name, before)
	return out
}

// writesOnlyBlob checks that dockerd has not written much more than an image's
// last blob since a count.
func (e *env) writesOnlyBlob(t *testing.T, image string, before int64) {
	t.Helper()
	written := e.written(t) - before
	layers := e.image(t, e.inspect(t, image, "{{.Id}}")).manifest.Layers
	blob := layers[len(layers)-1].Size
	t.Logf("a blob of %d bytes, %d written", blob, written)
	if most := blob + 8<<20; written > most {
		t.Errorf("dockerd wrote %d bytes for a blob of %d", written, blob)
	}
}

// written is what dockerd has written so far, in bytes: to files, copied ranges
// included, and to containerd.
func (e *env) written(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", e.Pid(stack.Dockerd)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text[strings.Index(string(text), "wchar"):]), "wchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// linkedBuildKept keeps the step's container: it goes on as if nothing had
// happened, and what it writes is not in the image.
func linkedBuildKept(t *testing.T, e *env) {
	out := e.buildLarge(t, "kept", "--rm=false")
	found := regexp.MustCompile(`Running in ([0-9a-f]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no container in\n%s", out)
	}
	id := e.docker(t, "inspect", "-f", "{{.Id}}", found[1])
	defer e.remove(t, id)
	if n := strings.Count(e.docker(t, "baleen", "revisions", id), "\n"); n != 0 {
		t.Errorf("it has %d revisions", n)
	}
	want := "A /data\nA /data/capable\nA /data/large\nA /data/small\nA /data/sub\nA /data/sub/twin\nA /sums\nC /etc\nD /etc/group"
	changes := strings.Split(e.docker(t, "diff", id), "\n")
	slices.Sort(changes)
	if got := strings.Join(changes, "\n"); got != want {
		t.Errorf("docker diff says\n%s, want\n%s", got, want)
	}
	size, err := strconv.ParseInt(e.docker(t, "inspect", "-s", "-f", "{{.SizeRw}}", id), 10, 64)
	if err != nil || size < largeBytes {
		t.Errorf("its size is %d, %v", size, err)
	}
	first := e.docker(t, "run", "--rm", "kept", "sh", "-c", sums)
	chain := e.image(t, e.inspect(t, "kept", "{{.Id}}")).config.RootFS.DiffIDs
	file := func() (at unix.Stat_t) {
		e.viewed(t, identity.ChainID(chain).String(), func(root string) {
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
	e.docker(t, "start", "-a", id)
	e.docker(t, "commit", id, "again")
	if now := e.docker(t, "run", "--rm", "kept", "sh", "-c", sums); now != first {
		t.Errorf("the image had\n%s\nand has\n%s", first, now)
	}
	if again := e.docker(t, "run", "--rm", "again", "sh", "-c", sums); again == first {
		t.Error("the second image is the first one")
	}
	if got := e.docker(t, "run", "--rm", "again", "cat", "/sums"); got != e.docker(t, "run", "--rm", "again", "sh", "-c", sums) {
		t.Errorf("the second image is not what the container wrote: %s", got)
	}
	e.remove(t, id)
	e.docker(t, "rmi", "again")
	if n := file().Nlink; n != 2 {
		t.Errorf("without the container the image's file has %d names, want 2", n)
	}
}

// viewed calls f with a snapshot, mounted.
func (e *env) viewed(t *testing.T, name string, f func(root string)) {
	t.Helper()
	sn, ctx := e.client.SnapshotService(snapshotter), e.ctx(t)
	mounts, err := sn.View(ctx, "look", name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sn.Remove(ctx, "look"); err != nil {
			t.Error(err)
		}
	}()
	if err := mount.WithReadonlyTempMount(ctx, mounts, func(root string) error { f(root); return nil }); err != nil {
		t.Fatal(err)
	}
}

// linkedCommit commits a container whose changes a snapshot has sealed.
func linkedCommit(t *testing.T, e *env) {
	id := e.docker(t, "create", "busybox", "sh", "-ec", largeChange)
	defer e.remove(t, id)
	e.docker(t, "start", "-a", id)
	e.docker(t, "baleen", "snapshot", id)
	before := e.written(t)
	e.docker(t, "commit", id, "snapshotted")
	e.writesOnlyBlob(t, "snapshotted", before)
	first := e.docker(t, "run", "--rm", "snapshotted", "sh", "-c", sums)

	e.docker(t, "start", "-a", id) // writes all again
	before = e.written(t)
	e.docker(t, "commit", id, "rewritten")
	if written := e.written(t) - before; written < 2*largeBytes {
		t.Errorf("only %d bytes were written: what the container can write was linked", written)
	}
	if now := e.docker(t, "run", "--rm", "snapshotted", "sh", "-c", sums); now != first {
		t.Errorf("the image had\n%s\nand has\n%s", first, now)
	}
	if again := e.docker(t, "run", "--rm", "rewritten", "sh", "-c", sums); again == first {
		t.Error("the second image is the first one")
	}
}

// notLinked tells that a commit by itself leaves a container as it is: it can
// rename its directories, and its files have one name.
func notLinked(t *testing.T, e *env) {
	id := e.docker(t, "create", "busybox", "sh", "-c", "test -e /data || { "+largeChange+"; exit; }; stat -c %h /data/capable")
	defer e.remove(t, id)
	e.docker(t, "start", "-a", id)
	e.docker(t, "commit", id)
	if got := e.docker(t, "start", "-a", id); got != "1" {
		t.Errorf("a file of the container has %s names", got)
	}
	for _, i := range e.state(t).snapshots {
		if strings.HasPrefix(i, id+".") {
			t.Errorf("the commit has made snapshot %s", i)
		}
	}
}

// TestKilledBuildStep kills dockerd at each call by which a step's container is
// sealed. The container has all that the step wrote, and nothing else is left.
func TestKilledBuildStep(t *testing.T) {
	e, proxy := newFaultEnvWith(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	if clones, err := snapshots.Clones(e.Root()); err != nil || clones {
		t.Skipf("the file system of %s shares data by itself, so nothing is sealed (%v)", e.Root(), err)
	}
	// The first three make the container.
	const first, last = 4, 9
	before := e.rest(t)
	for n := first; n <= last && !t.Failed(); n++ {
		killed := make(chan error, 1)
		proxy.Set(fault.Plan{
			Methods: []string{"Snapshots/Prepare", "Snapshots/Commit", "Snapshots/Remove", "Snapshots/Update"}, Nth: n, After: n%2 == 0,
			Do: func() { killed <- e.KillDockerd(context.WithoutCancel(t.Context())) },
		})
		out, err := e.build(t, "FROM busybox\nRUN "+largeChange+" && { "+sums+"; } > /sums\n", "--no-cache", "--network=none")
		if err == nil {
			t.Fatalf("dockerd was not killed at call %d: %s", n, out)
		}
		_, where := proxy.Clear()
		if err := errors.Join(<-killed, e.StartDockerd(t.Context())); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at call %d, %s", n, where)
		e.stepIsWhole(t, e.docker(t, "ps", "-aq", "--no-trunc"))
		e.docker(t, "image", "prune", "-f")
		e.settled(t, before)
	}
}

// stepIsWhole checks that a container has what the step wrote, by its sums.
func (e *env) stepIsWhole(t *testing.T, id string) {
	t.Helper()
	e.docker(t, "commit", id, "whole")
	want := e.docker(t, "run", "--rm", "--network=none", "whole", "cat", "/sums")
	if got := e.docker(t, "run", "--rm", "--network=none", "whole", "sh", "-c", sums); got != want {
		t.Errorf("the step wrote\n%s\nand its container has\n%s", want, got)
	}
	e.docker(t, "rmi", "whole")
	e.remove(t, id)
}
