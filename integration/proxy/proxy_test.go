package proxy_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// eachContainerd runs a test with each of them.
func eachContainerd(t *testing.T, c stack.Config, f func(t *testing.T, e *harness.Env)) {
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range harness.Proxied {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(bin, program)); errors.Is(err, os.ErrNotExist) {
				t.Skipf("there is no bin/%s: run `make build newest`", program)
			}
			c.Proxy, c.DifferForAll, c.ContainerdBin = true, true, filepath.Join(bin, program)
			f(t, harness.Start(t, c, "busybox"))
		})
	}
}

// TestProxyForClientsOfContainerd imports and unpacks, runs and compares with ctr.
func TestProxyForClientsOfContainerd(t *testing.T) {
	eachContainerd(t, stack.Config{Flavor: stack.Stock}, func(t *testing.T, e *harness.Env) {
		archive := filepath.Join(e.Root(), "tmp", "image.tar")
		e.Must(t, "save", "-o", archive, "busybox")
		const image = "docker.io/library/busybox:latest"
		e.Ctr(t, "images", "import", "--snapshotter", "baleen", archive)
		e.Ctr(t, "images", "import", "--snapshotter", "overlayfs", "--local", archive)
		unpacked := e.SnapshotsOf(t, "test", "baleen")
		if len(unpacked) != 1 || !slices.Equal(unpacked, e.SnapshotsOf(t, "test", "overlayfs")) {
			t.Fatalf("import made snapshots %v", unpacked)
		}

		for _, sn := range []string{"baleen", "overlayfs"} {
			if got := e.Ctr(t, "run", "--rm", "--snapshotter", sn, image, "once-"+sn, "sh", "-c", "cat /etc/passwd | head -1; echo hi"); !strings.HasSuffix(got, "hi") {
				t.Errorf("a container on %s printed %q", sn, got)
			}
			// Ids are mapped by the mount, as the snapshotter announces.
			if got := e.Ctr(t, "run", "--rm", "--snapshotter", sn, "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--remap-labels",
				image, "mapped-"+sn, "sh", "-c", "cat /proc/self/uid_map; stat -c %u /etc/passwd"); strings.Join(strings.Fields(got), " ") != "0 100000 65536 0" {
				t.Errorf("a container on %s with mapped ids printed %q", sn, got)
			}
			id := "stays-" + sn
			e.Ctr(t, "run", "-d", "--snapshotter", sn, image, id, "sh", "-c", "echo written > /etc/written; rm /etc/group; sleep 1000")
			harness.Eventually(t, "the container to write", func() error {
				_, err := e.TryCtr(t, "task", "exec", "--exec-id", "look", id, "test", "-e", "/etc/written")
				return err
			})
			// The runtime has made a folder for what it mounts on /run.
			if got := diffNames(t, e, sn, id); got != "etc/ etc/.wh.group etc/written run/" {
				t.Errorf("the differences of a container on %s are %q", sn, got)
			}
			e.Ctr(t, "task", "kill", "-s", "KILL", id)
			harness.Eventually(t, "the container to end", func() error {
				_, err := e.TryCtr(t, "container", "rm", id)
				return err
			})
		}
		log := e.LogTail(stack.Proxy, 1000)
		if strings.Contains(log, "whole trees") || strings.Count(log, "read=uppers") != 2 || !strings.Contains(log, "unpacked a layer") {
			t.Errorf("the differ's log has not two comparisons by uppers and an unpacked layer:\n%s", log)
		}
		if after := e.SnapshotsOf(t, "test", "baleen"); !slices.Equal(after, unpacked) {
			t.Errorf("without containers there are snapshots %v, before there were %v", after, unpacked)
		}
	})
}

// diffNames are the names in the layer that `ctr snapshots diff` prints.
func diffNames(t *testing.T, e *harness.Env, sn, key string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(e.Ctr(t, "snapshots", "--snapshotter", sn, "diff", key)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(z); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(names, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

// TestProxyForStockDockerd runs dockerd as it is on the snapshotter and the
// differ, and kills the daemon that has them.
func TestProxyForStockDockerd(t *testing.T) {
	eachContainerd(t, stack.Config{Flavor: stack.Stock, StorageDriver: "baleen"}, func(t *testing.T, e *harness.Env) {
		before := e.SnapshotsOf(t, "moby", "baleen")
		id := e.Run(t, "busybox", "echo one > /one; rm /etc/group; mkdir -p /d/e; echo kept > /d/e/f")
		e.Must(t, "commit", id, "first")
		if log := e.LogTail(stack.Proxy, 1000); strings.Contains(log, "whole trees") || !strings.Contains(log, "read=uppers") {
			t.Errorf("docker commit did not use the differ, or that did not read uppers:\n%s", log)
		}
		if got := e.Must(t, "run", "--rm", "first", "sh", "-c", "cat /one /d/e/f; ls /etc/group 2>&1 || true"); !strings.HasPrefix(got, "one\nkept\n") || !strings.Contains(got, "No such file") {
			t.Errorf("the image holds %q", got)
		}
		keepsLayers(t, e)

		if err := e.KillProxy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.Must(t, "exec", id, "sh", "-c", "echo two > /two; cat /one"); got != "one" {
			t.Errorf("without the daemon the container says %q", got)
		}
		if out, err := e.Try(t, "create", "busybox"); err == nil || !strings.Contains(out, "nable to") && !strings.Contains(out, "navailable") && !strings.Contains(out, "connection") {
			t.Errorf("without the daemon docker create says: %v %s", err, out)
		}
		if err := e.StartProxy(t.Context()); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "containerd to find the daemon again", func() error {
			out, err := e.Try(t, "commit", id, "second")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		if got := e.Must(t, "run", "--rm", "second", "cat", "/one", "/two"); got != "one\ntwo" {
			t.Errorf("after the restart the image holds %q", got)
		}
		if out, err := e.Build(t, "FROM second\nRUN echo three > /three\nRUN rm /one\nLABEL a=b\n", "-t", "built"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := e.Must(t, "run", "--rm", "built", "sh", "-c", "cat /two /three; ls /one 2>&1 || true"); !strings.HasPrefix(got, "two\nthree\n") || !strings.Contains(got, "No such file") {
			t.Errorf("the built image holds %q", got)
		}

		e.Must(t, "rm", "-f", id)
		e.Must(t, "rmi", "first", "second", "built")
		harness.Eventually(t, "snapshots to go", func() error {
			if after := e.SnapshotsOf(t, "moby", "baleen"); !slices.Equal(before, after) {
				return fmt.Errorf("snapshots before %v, after %v", before, after)
			}
			return nil
		})
		e.NoTemporaryMounts(t)
	})
}

// keepsLayers checks that a layer is held for the time between the differ's
// answer and the image, and no lease of the work itself is left.
func keepsLayers(t *testing.T, e *harness.Env) {
	t.Helper()
	held, err := e.Client.LeasesService().List(e.Context(t), `labels."io.baleen.operation"`)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range held {
		resources, err := e.Client.LeasesService().ListResources(e.Context(t), leases.Lease{ID: l.ID})
		if l.Labels["io.baleen.operation"] != "handover" || l.Labels["containerd.io/gc.expire"] == "" || err != nil || len(resources) != 1 {
			t.Errorf("there is lease %+v of %v: %v", l, resources, err)
		}
	}
	if len(held) == 0 {
		t.Error("no lease holds the layer of a commit until its image is there")
	}
}

// TestProxyDifferOnOverlayfs has the differ serve containerd's own snapshotter.
func TestProxyDifferOnOverlayfs(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, Proxy: true, DifferForAll: true}, "busybox")
	id := e.Run(t, "busybox", "echo one > /one; chmod 600 /etc/passwd")
	e.Must(t, "commit", id, "committed")
	log := e.LogTail(stack.Proxy, 1000)
	if strings.Contains(log, "whole trees") || !strings.Contains(log, "read=uppers") || !strings.Contains(log, "unpacked a layer") {
		t.Errorf("docker commit did not use the differ, or that did not read uppers:\n%s", log)
	}
	if got := e.Must(t, "run", "--rm", "committed", "sh", "-c", "cat /one; stat -c %a /etc/passwd"); got != "one\n600" {
		t.Errorf("the image holds %q", got)
	}
}

// TestProxyRefuses starts a second daemon on what the first one has.
func TestProxyRefuses(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, Proxy: true})
	start := func(args ...string) string {
		t.Helper()
		out, err := harness.Output(e.Command(t.Context(), string(stack.Proxy), args...))
		if err == nil {
			t.Errorf("baleen-containerd %v started", args)
		}
		return out
	}
	other := filepath.Join(e.Root(), "tmp")
	harness.WriteFile(t, filepath.Join(other, "file"), "")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--root", e.ProxyRoot(), "--address", other + "/sock"}, "is in use by another baleen-containerd, process "},
		{[]string{"--root", other + "/root", "--address", e.ProxyAddress()}, "another process listens on " + e.ProxyAddress()},
		{[]string{"--root", other + "/root", "--address", other + "/file"}, "exists and is not a socket"},
		{[]string{"--root", other + "/file", "--address", other + "/sock"}, "make root"},
		{[]string{"--root", ""}, `--root "": want an absolute path`},
		{[]string{"--root", "here"}, `--root "here": want an absolute path`},
		{[]string{"--log-level", "loud"}, "--log-level"},
		{[]string{"--whale"}, "flag provided but not defined"},
		{[]string{"now"}, `unexpected argument "now"`},
	} {
		if got := start(c.args...); !strings.Contains(got, c.want) {
			t.Errorf("baleen-containerd %v says %q, want %q", c.args, got, c.want)
		}
	}
	for path, want := range map[string]os.FileMode{e.ProxyAddress(): os.ModeSocket | 0o600, e.ProxyRoot(): os.ModeDir | 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s is %v, want %v: %v", path, info.Mode(), want, err)
		}
	}
	// A socket that is left by a kill is replaced; after a stop none is.
	if err := e.KillProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StopProxy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(e.ProxyAddress()); !os.IsNotExist(err) {
		t.Errorf("after a stop the socket is there: %v", err)
	}
	if err := e.StartProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
}
