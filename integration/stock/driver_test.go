package stock_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestStorageDriverBaleen does on Baleen's own snapshotter what the daemon does:
// with containerd linked with it, and with a process of its own. Nothing is done
// by comparing whole trees, and nothing is left.
func TestStorageDriverBaleen(t *testing.T) {
	for name, c := range map[string]stack.Config{
		"in containerd":     harness.DriverConfig,
		"beside containerd": {StorageDriver: "baleen", Proxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := harness.Start(t, c, "busybox")
			before := e.SnapshotsOf(t, "moby", "baleen")
			everyVerb(t, e)
			harness.Eventually(t, "snapshots to go", func() error {
				if after := e.SnapshotsOf(t, "moby", "baleen"); !slices.Equal(before, after) {
					return fmt.Errorf("before there were %v, after %v", before, after)
				}
				return nil
			})
			e.NoTemporaryMounts(t)
			if log := e.LogTail(stack.Dockerd, 5000); strings.Contains(log, "whole trees") {
				t.Errorf("whole trees were compared:\n%s", log)
			}
			if others := e.SnapshotsOf(t, "moby", "overlayfs"); len(others) > 0 {
				t.Errorf("containerd's own snapshotter has %v", others)
			}
		})
	}
}

// everyVerb runs, compares, commits, builds, keeps and goes back, saves and
// loads, and removes what it has made.
func everyVerb(t *testing.T, e *harness.Env) {
	t.Helper()
	if got := e.Must(t, "info", "-f", "{{.Driver}}"); got != "baleen" {
		t.Fatalf("the storage driver is %s", got)
	}
	id := e.Run(t, "busybox", "echo one > /one; rm /etc/group; mkdir -p /d; echo kept > /d/f", "--name", "work")
	if got := e.Must(t, "diff", id); !strings.Contains(got, "A /one") || !strings.Contains(got, "D /etc/group") {
		t.Errorf("docker diff prints\n%s", got)
	}
	e.Must(t, "commit", id, "first")
	if got := e.Must(t, "run", "--rm", "first", "sh", "-c", "cat /one /d/f; ls /etc/group 2>&1 || true"); !strings.HasPrefix(got, "one\nkept\n") || !strings.Contains(got, "No such file") {
		t.Errorf("the image holds %q", got)
	}
	if out, err := e.Build(t, "FROM first\nRUN echo two > /two\nCOPY file /file\nRUN rm /one\nLABEL a=b\n", "-t", "built"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := e.Must(t, "run", "--rm", "built", "sh", "-c", "cat /two /file; ls /one 2>&1 || true"); !strings.HasPrefix(got, "two\nfrom the context\n") || !strings.Contains(got, "No such file") {
		t.Errorf("the built image holds %q", got)
	}

	e.Must(t, "baleen", "snapshot", "-m", "tests pass", "work")
	e.Must(t, "exec", "work", "sh", "-c", "rm -r /d; echo later > /one")
	e.Must(t, "baleen", "rollback", "work", "1")
	if got := e.Must(t, "exec", "work", "cat", "/d/f"); got != "kept" {
		t.Errorf("after going back the file holds %q", got)
	}
	e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", "work", "built")
	if got := e.Must(t, "exec", "work", "cat", "/two", "/d/f"); got != "two\nkept" {
		t.Errorf("after the upgrade the files hold %q", got)
	}

	archive := filepath.Join(e.Root(), "tmp", "built.tar")
	e.Must(t, "save", "-o", archive, "built")
	e.Must(t, "rm", "-f", "work")
	e.Must(t, "rmi", "first", "built")
	e.Must(t, "load", "-i", archive)
	if got := e.Must(t, "run", "--rm", "built", "cat", "/two"); got != "two" {
		t.Errorf("the loaded image holds %q", got)
	}
	e.Must(t, "rmi", "built")
}
