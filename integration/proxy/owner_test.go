package proxy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestProxyServesOneContainerd has a second containerd, and the first one by a second
// name, use the snapshots of the first. Both are refused, and nothing is lost: the
// collection of garbage of either would remove what it does not know.
func TestProxyServesOneContainerd(t *testing.T) {
	c := stack.Config{Flavor: stack.Stock, StorageDriver: "baleen"}
	eachContainerd(t, c, func(t *testing.T, e *harness.Env) {
		id := e.Run(t, "busybox", "echo one > /one", "--name", "work")
		before := e.SnapshotsOf(t, "moby", "baleen")
		folders := folderNames(t, filepath.Join(e.ProxyRoot(), "snapshots"))

		other := secondContainerd(t, e)
		if out, err := other("snapshots", "--snapshotter", "baleen", "prepare", "theirs"); err == nil || !strings.Contains(out, "is not the containerd at") {
			t.Errorf("the second containerd prepared a snapshot: %v %s", err, out)
		}
		// A reference that ends makes containerd collect garbage, and wait for it.
		if out, err := other("leases", "create", "--id", "short"); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if out, err := other("leases", "delete", "--sync", "short"); err != nil && !strings.Contains(out, "is not the containerd at") {
			t.Errorf("the second containerd's collection: %v %s", err, out)
		}

		if got := e.SnapshotsOf(t, "moby", "baleen"); !slices.Equal(got, before) {
			t.Errorf("there are snapshots %v, there were %v", got, before)
		}
		if got := folderNames(t, filepath.Join(e.ProxyRoot(), "snapshots")); !slices.Equal(got, folders) {
			t.Errorf("there are folders %v, there were %v", got, folders)
		}
		if got := e.Must(t, "exec", id, "cat", "/one"); got != "one" {
			t.Errorf("the container holds %q", got)
		}
		e.Must(t, "commit", id, "committed")
		if got := e.Must(t, "run", "--rm", "committed", "cat", "/one"); got != "one" {
			t.Errorf("the image holds %q", got)
		}
	})
}

// TestProxyServesOnePlugin is the same for a second name in one containerd.
func TestProxyServesOnePlugin(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, StorageDriver: "baleen", Proxy: true, ProxyAlias: "again"}, "busybox")
	e.Must(t, "create", "busybox")
	before := e.SnapshotsOf(t, "moby", "baleen")
	if out, err := e.TryCtr(t, "snapshots", "--snapshotter", "again", "prepare", "theirs"); err == nil || !strings.Contains(fmt.Sprint(out, err), `belongs to the proxy plugin "baleen"`) {
		t.Errorf("by the second name a snapshot was prepared: %v %s", err, out)
	}
	if got := e.SnapshotsOf(t, "moby", "baleen"); !slices.Equal(got, before) {
		t.Errorf("there are snapshots %v, there were %v", got, before)
	}
}

// TestProxyRefusesForeignFolders: the folder of containerd's own overlayfs, and names
// that no overlay can be mounted by, are refused before anything is made there.
func TestProxyRefusesForeignFolders(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, Proxy: true}, "busybox")
	e.Must(t, "create", "busybox")
	tmp := filepath.Join(e.Root(), "tmp")
	overlayfs, err := filepath.Glob(filepath.Join(e.Root(), "*", "io.containerd.snapshotter.v1.overlayfs"))
	if err != nil || len(overlayfs) != 1 {
		t.Fatalf("containerd's overlayfs is at %v: %v", overlayfs, err)
	}
	before := append(folderNames(t, overlayfs[0]), folderNames(t, tmp)...)
	for root, want := range map[string]string{
		overlayfs[0]:                "belongs to another snapshotter",
		filepath.Join(tmp, "a:b"):   "no overlay can be mounted by such a path",
		filepath.Join(tmp, "a,b/c"): "no overlay can be mounted by such a path",
		"/":                         "no overlay can be mounted by such a path",
	} {
		for _, args := range [][]string{nil, {"--print-config"}} {
			out, err := harness.Output(e.Command(t.Context(), string(stack.Proxy), append(args, "--root", root, "--address", filepath.Join(tmp, "sock"))...))
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("--root %s %v: %v %s", root, args, err, out)
			}
		}
	}
	if after := append(folderNames(t, overlayfs[0]), folderNames(t, tmp)...); !slices.Equal(before, after) {
		t.Errorf("there was %v, there is %v", before, after)
	}
	if _, err := os.Lstat("/baleen-containerd.lock"); err == nil {
		t.Error("there is a lock in /")
	}
}

// TestOtherSnapshottersWithoutProxy: with the configuration as it is printed, images
// are unpacked and committed on overlayfs while baleen-containerd is away.
func TestOtherSnapshottersWithoutProxy(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, Proxy: true}, "busybox")
	archive := filepath.Join(e.Root(), "tmp", "image.tar")
	e.Must(t, "save", "-o", archive, "busybox")
	if err := e.StopProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Ctr(t, "images", "import", "--snapshotter", "overlayfs", archive)
	e.Ctr(t, "images", "import", "--snapshotter", "overlayfs", "--local", archive)
	id := e.Run(t, "busybox", "echo one > /one")
	e.Must(t, "commit", id, "committed")
	if got := e.Must(t, "run", "--rm", "committed", "cat", "/one"); got != "one" {
		t.Errorf("the image holds %q", got)
	}
}

// TestImportOnLinkedSnapshotter imports by the transfer service of the containerd
// that has the snapshotter linked in, as it is configured by default.
func TestImportOnLinkedSnapshotter(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	archive := filepath.Join(e.Root(), "tmp", "image.tar")
	e.Must(t, "save", "-o", archive, "busybox")
	for _, sn := range []string{"baleen", "overlayfs"} {
		e.Ctr(t, "images", "import", "--snapshotter", sn, archive)
		if got := e.Ctr(t, "run", "--rm", "--snapshotter", sn, "docker.io/library/busybox:latest", "on-"+sn, "echo", "hi"); got != "hi" {
			t.Errorf("a container on %s printed %q", sn, got)
		}
	}
}

// secondContainerd runs another containerd on the stack's baleen-containerd, and
// returns ctr for it.
func secondContainerd(t *testing.T, e *harness.Env) func(args ...string) (string, error) {
	t.Helper()
	root := filepath.Join(e.Root(), "tmp", "second")
	socket := filepath.Join(root, "containerd.sock")
	config := filepath.Join(root, "config.toml")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	harness.WriteFile(t, config, fmt.Sprintf("version = 3\nroot = %q\nstate = %q\ndisabled_plugins = ['io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri']\n"+
		"[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n[proxy_plugins.baleen]\ntype = 'snapshot'\naddress = %q\n",
		filepath.Join(root, "root"), filepath.Join(root, "state"), socket, socket+".ttrpc", e.ProxyAddress()))
	cmd := e.Command(t.Context(), "containerd-stock", "--config", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // its exit status tells nothing
	})
	ctr := func(args ...string) (string, error) {
		return harness.Output(e.Command(t.Context(), "ctr", append([]string{"-a", socket, "-n", "test"}, args...)...))
	}
	harness.Eventually(t, "the second containerd to answer", func() error {
		_, err := ctr("version")
		return err
	})
	return ctr
}

// folderNames are the names in a folder, in order.
func folderNames(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(all))
	for _, entry := range all {
		names = append(names, entry.Name())
	}
	return names
}
