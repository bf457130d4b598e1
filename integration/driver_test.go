package integration_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// driverConfig has containerd's own baleen snapshotter as dockerd's storage driver.
var driverConfig = stack.Config{
	StorageDriver:    "baleen",
	ContainerdConfig: "[plugins.'io.containerd.service.v1.diff-service']\ndefault = ['baleen', 'walking']\n",
}

// TestStorageDriverBaleen does on Baleen's own snapshotter what the daemon does:
// with containerd linked with it, and with a process of its own. Nothing is done
// by comparing whole trees, and nothing is left.
func TestStorageDriverBaleen(t *testing.T) {
	for name, c := range map[string]stack.Config{
		"in containerd":     driverConfig,
		"beside containerd": {StorageDriver: "baleen", Proxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, c, "busybox")
			before := e.snapshots(t, "moby", "baleen")
			e.everyVerb(t)
			e.eventually(t, "snapshots to go", func() error {
				if after := e.snapshots(t, "moby", "baleen"); !slices.Equal(before, after) {
					return fmt.Errorf("before there were %v, after %v", before, after)
				}
				return nil
			})
			e.noTemporaryMounts(t)
			if log := e.LogTail(stack.Dockerd, 5000); strings.Contains(log, "whole trees") {
				t.Errorf("whole trees were compared:\n%s", log)
			}
			if others := e.snapshots(t, "moby", "overlayfs"); len(others) > 0 {
				t.Errorf("containerd's own snapshotter has %v", others)
			}
		})
	}
}

// everyVerb runs, compares, commits, builds, keeps and goes back, saves and
// loads, and removes what it has made.
func (e *env) everyVerb(t *testing.T) {
	t.Helper()
	if got := e.docker(t, "info", "-f", "{{.Driver}}"); got != "baleen" {
		t.Fatalf("the storage driver is %s", got)
	}
	id := e.run(t, "busybox", "echo one > /one; rm /etc/group; mkdir -p /d; echo kept > /d/f", "--name", "work")
	if got := e.docker(t, "diff", id); !strings.Contains(got, "A /one") || !strings.Contains(got, "D /etc/group") {
		t.Errorf("docker diff prints\n%s", got)
	}
	e.docker(t, "commit", id, "first")
	if got := e.docker(t, "run", "--rm", "first", "sh", "-c", "cat /one /d/f; ls /etc/group 2>&1 || true"); !strings.HasPrefix(got, "one\nkept\n") || !strings.Contains(got, "No such file") {
		t.Errorf("the image holds %q", got)
	}
	if out, err := e.build(t, "FROM first\nRUN echo two > /two\nCOPY file /file\nRUN rm /one\nLABEL a=b\n", "-t", "built"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := e.docker(t, "run", "--rm", "built", "sh", "-c", "cat /two /file; ls /one 2>&1 || true"); !strings.HasPrefix(got, "two\nfrom the context\n") || !strings.Contains(got, "No such file") {
		t.Errorf("the built image holds %q", got)
	}

	e.docker(t, "baleen", "snapshot", "-m", "tests pass", "work")
	e.docker(t, "exec", "work", "sh", "-c", "rm -r /d; echo later > /one")
	e.docker(t, "baleen", "rollback", "work", "1")
	if got := e.docker(t, "exec", "work", "cat", "/d/f"); got != "kept" {
		t.Errorf("after going back the file holds %q", got)
	}
	e.docker(t, "baleen", "upgrade", "--health-timeout", "1s", "work", "built")
	if got := e.docker(t, "exec", "work", "cat", "/two", "/d/f"); got != "two\nkept" {
		t.Errorf("after the upgrade the files hold %q", got)
	}

	archive := filepath.Join(e.Root(), "tmp", "built.tar")
	e.docker(t, "save", "-o", archive, "built")
	e.docker(t, "rm", "-f", "work")
	e.docker(t, "rmi", "first", "built")
	e.docker(t, "load", "-i", archive)
	if got := e.docker(t, "run", "--rm", "built", "cat", "/two"); got != "two" {
		t.Errorf("the loaded image holds %q", got)
	}
	e.docker(t, "rmi", "built")
}
