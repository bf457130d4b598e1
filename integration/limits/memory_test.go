package limits_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// mayGrow is by how much a daemon's resident memory may grow for one operation on a
// container, whatever is in that.
const mayGrow = 64 << 20

// grows measures what an operation takes in the daemons that do it.
type grows struct {
	*harness.Env
	stack.Config
	idle map[stack.Daemon]int64 // their resident memory in bytes before all
}

func growing(t *testing.T, e *harness.Env, c stack.Config) grows {
	t.Helper()
	g := grows{e, c, map[stack.Daemon]int64{stack.Dockerd: 0, stack.Containerd: 0}}
	for d := range g.idle {
		gauge, err := procfs.Start(g.Pid(d))
		if err != nil {
			t.Fatal(err)
		}
		now, err := gauge.Stop()
		if err != nil {
			t.Fatal(err)
		}
		g.idle[d] = now.Peak
	}
	return g
}

// bounded runs an operation and fails the test if a daemon grew beyond the bound.
func (g grows) bounded(t *testing.T, what string, f func()) {
	t.Helper()
	gauges := map[stack.Daemon]*procfs.Gauge{}
	for d := range g.idle {
		gauge, err := procfs.Start(g.Pid(d))
		if err != nil {
			t.Fatal(err)
		}
		gauges[d] = gauge
	}
	f()
	for d, gauge := range gauges {
		used, err := gauge.Stop()
		if err != nil {
			t.Fatal(err)
		}
		grown := used.Peak - g.idle[d]
		t.Logf("%s: %v has grown by %d KiB, and used %v", what, d, grown>>10, used.CPU)
		if grown > mayGrow {
			t.Errorf("%s: the resident memory of %v has grown by %d MiB", what, d, grown>>20)
		}
	}
}

// TestMemoryForHostileTrees: what a container makes does not decide how much memory
// the daemons take.
func TestMemoryForHostileTrees(t *testing.T) {
	for _, driver := range []string{"overlayfs", "baleen"} {
		t.Run(driver, func(t *testing.T) {
			// A daemon that is idle is not about to collect what its start has left.
			c := stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}
			if driver != "overlayfs" {
				c.StorageDriver = driver
			}
			g := growing(t, harness.Start(t, c, "busybox"), c)
			t.Run("nested directories", func(t *testing.T) { deepTree(t, g) })
			if driver == "baleen" {
				t.Run("files of two names", func(t *testing.T) { pairs(t, g, 80_000) })
				t.Run("half a million names", func(t *testing.T) { wideTree(t, g, 500_000) })
			}
		})
	}
}

const deepLevels = 3000

// deepTree has a path of 753,000 bytes.
func deepTree(t *testing.T, g grows) {
	id := g.Create(t, "--name", "deep", "--stop-signal", "KILL", "busybox", "sleep", "1000")
	t.Cleanup(func() { g.Remove(t, id) })
	name := strings.Repeat("n", 250)
	at := g.folderOf(t, id)
	for range deepLevels {
		at = below(t, at, name)
	}
	mustDo(t, unix.Mknodat(at, "bottom", unix.S_IFREG|0o644, 0), unix.Close(at))

	// Of the paths of up to 4,095 bytes the last one is made/ and 16 names.
	const fit, length = 16, 4 + 17*251
	g.bounded(t, "docker diff", func() {
		lines := strings.Split(g.Must(t, "diff", id), "\n")
		last := lines[len(lines)-1]
		if want := fmt.Sprintf("... (a path of %d bytes, of which a layer holds up to 4095)", length); len(lines) != 1+fit+1 || !strings.HasPrefix(last, "A /made/nnn") || !strings.HasSuffix(last, want) {
			t.Errorf("docker diff prints %d lines, and the last is %q", len(lines), last)
		}
	})
	g.bounded(t, "docker commit", func() {
		status, text := g.Request(t, "POST", "/commit?container="+id, "")
		if status != 409 || !strings.Contains(text, "made/nnn") || !strings.Contains(text, "up to 4095") || len(text) > 1000 {
			t.Errorf("a commit gave %d: %s", status, text)
		}
	})
	g.sizes(t, "docker ps -s", id, deepLevels)
	g.bounded(t, "snapshot", func() { g.Snapshot(t, "deep", "deep") })
	g.sizes(t, "docker ps -s of a sealed one", id, deepLevels)
	g.Must(t, "start", id)
	g.Must(t, "exec", id, "sh", "-c", "echo more > /made/more")
	if g.StorageDriver == "baleen" {
		// containerd's own snapshotter cannot measure such a copy, and refuses it.
		g.bounded(t, "snapshot of a running one", func() { g.Snapshot(t, "deep", "running") })
	}
	g.bounded(t, "rollback", func() { g.Rollback(t, "deep", api.RollbackRequest{Revision: 1}) })
	g.bounded(t, "prune", func() {
		var report api.PruneReport
		g.Call(t, http.MethodPost, "/containers/deep/revisions/prune", api.PruneRequest{}, &report)
		if len(report.Removed) == 0 {
			t.Errorf("pruning says %+v", report)
		}
	})
	g.bounded(t, "docker rm", func() { g.Must(t, "rm", "-f", id) })
}

// wideTree has many names in one directory. Without a bound each would take a string
// of 40 bytes at least, 64 with its header. To commit them takes a minute.
func wideTree(t *testing.T, g grows, names int) {
	name := func(i int) string { return fmt.Sprintf("%040d", i) }
	id := g.Create(t, "--name", "wide", "busybox", "sleep", "1000")
	t.Cleanup(func() { g.Remove(t, id) })
	at := g.folderOf(t, id)
	for i := range names {
		const each = 60_000 // names of a file, which are made faster; ext4 allows 65,000
		if i%each == 0 {
			mustDo(t, unix.Mknodat(at, name(i), unix.S_IFREG|0o644, 0))
			continue
		}
		mustDo(t, unix.Linkat(at, name(i-i%each), at, name(i), 0))
	}
	mustDo(t, unix.Close(at))

	g.changes(t, id, names+1)
	g.sealed(t, "wide", id)
}

// pairs has files of which each has a name in both of two directories, so that all
// first names are due until the end. Those have 255 bytes, the most that there may be.
// A commit that kept all of them in memory would grow by more than mayGrow.
func pairs(t *testing.T, g grows, files int) {
	id := g.Create(t, "--name", "pairs", "busybox", "sleep", "1000")
	t.Cleanup(func() { g.Remove(t, id) })
	at := g.folderOf(t, id)
	first, err := unix.Dup(at)
	mustDo(t, err)
	first, second := below(t, first, "first"), below(t, at, "second")
	for i := range files {
		long, short := fmt.Sprintf("%0255d", i), fmt.Sprint(i)
		mustDo(t, unix.Mknodat(first, long, unix.S_IFREG|0o644, 0), unix.Linkat(first, long, second, short, 0))
	}
	mustDo(t, unix.Close(first), unix.Close(second))

	g.changes(t, id, 2*files+3)
	g.bounded(t, "docker commit", func() { g.Must(t, "commit", id, "pairs") })
	got := g.Must(t, "run", "--rm", "--network=none", "pairs", "sh", "-c", "find /made/second -type f -links 2 | wc -l")
	if got != fmt.Sprint(files) {
		t.Errorf("%s files have two names", got)
	}
	g.Must(t, "rmi", "pairs")
	g.sizes(t, "docker ps -s", id, 3) // a snapshot measures alike
	g.sealed(t, "pairs", id)
}

// changes asks what a container has changed.
func (g grows) changes(t *testing.T, id string, paths int) {
	t.Helper()
	g.bounded(t, "docker diff", func() {
		// The client would take longer to print them than the daemon to find them.
		resp, err := g.Open(t.Context(), http.MethodGet, "/containers/"+id+"/changes", "")
		mustDo(t, err)
		defer resp.Body.Close()
		var count pathCount
		if _, err := io.Copy(&count, resp.Body); err != nil || resp.StatusCode != http.StatusOK || count.paths != paths {
			t.Errorf("%d changes are told, status %d, %v", count.paths, resp.StatusCode, err)
		}
	})
}

// sealed takes a snapshot of a container, measures it, and removes all.
func (g grows) sealed(t *testing.T, name, id string) {
	t.Helper()
	g.bounded(t, "snapshot", func() { g.Snapshot(t, name, name) })
	g.sizes(t, "docker ps -s of a sealed one", id, 1)
	g.bounded(t, "docker rm", func() { g.Must(t, "rm", "-f", id) })
}

// pathCount counts the paths in what the API says of changes: of those here none has a
// brace in it.
type pathCount struct{ paths int }

func (c *pathCount) Write(p []byte) (int, error) {
	c.paths += bytes.Count(p, []byte{'{'})
	return len(p), nil
}

// folderOf makes a directory in a container that does not run, and opens it.
func (g grows) folderOf(t *testing.T, id string) int {
	t.Helper()
	sn := harness.Snapshotter
	if g.StorageDriver != "" {
		sn = g.StorageDriver
	}
	o, err := changes.ParseOverlay(g.ActiveMounts(t, sn, id), true)
	if err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(o.Uppers[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	mustDo(t, err)
	return below(t, root, "made")
}

// below makes a directory of user 1000 in an open one, opens it, and closes that.
func below(t *testing.T, at int, name string) int {
	t.Helper()
	mustDo(t, unix.Mkdirat(at, name, 0o755), unix.Fchownat(at, name, 1000, 1000, 0))
	sub, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	mustDo(t, err, unix.Close(at))
	return sub
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// sizes asks for the sizes of containers: this one takes a block for each
// directory at least.
func (g grows) sizes(t *testing.T, what, id string, directories int64) {
	t.Helper()
	g.bounded(t, what, func() {
		var list []struct {
			ID     string `json:"Id"`
			SizeRw int64
		}
		g.Call(t, http.MethodGet, "/containers/json?all=1&size=1", nil, &list)
		if len(list) != 1 || list[0].ID != id || list[0].SizeRw < 4096*directories {
			t.Errorf("%s says %+v", what, list)
		}
	})
}
