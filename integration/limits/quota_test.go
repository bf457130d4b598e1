package limits_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestStorageSizeRefused: what cannot be kept to is refused, with a reason, and
// leaves nothing.
func TestStorageSizeRefused(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	before := e.State(t)
	for option, want := range map[string]string{
		"size=much":  "invalid size: 'much'",
		"size=-1G":   "invalid size",
		"size=0":     "is less than",
		"size=1k":    "is less than",
		"inodes=100": "there is only size",
		"size=1G":    "no project quotas: the file system of ",
	} {
		t.Run(option, func(t *testing.T) {
			if strings.HasSuffix(option, "1G") && hasQuota(t, e) {
				t.Skip("the file system of the stack has quotas")
			}
			out, err := e.Try(t, "create", "--name=refused", "--storage-opt", option, "busybox")
			if err == nil || !strings.Contains(out, "storage option "+strings.Split(option, "=")[0]) || !strings.Contains(out, want) {
				t.Errorf("docker create says %v: %s; want %q", err, out, want)
			}
			t.Log(out)
		})
	}
	e.Settled(t, before)
	if left := e.Must(t, "ps", "-aq"); left != "" {
		t.Errorf("containers are left: %s", left)
	}
}

func hasQuota(t *testing.T, e *harness.Env) bool {
	t.Helper()
	id, err := e.Try(t, "create", "--storage-opt", "size=1G", "busybox")
	if err != nil {
		return !strings.Contains(id, "no project quotas")
	}
	e.Remove(t, id)
	return true
}

// TestStorageSize limits containers by project quotas, where the kernel has them.
func TestStorageSize(t *testing.T) {
	for name, kind := range map[string]volume.Kind{"ext4": volume.Ext4Quota, "xfs": volume.XFSQuota} {
		t.Run(name, func(t *testing.T) {
			e := newQuotaEnv(t, kind)
			for name, test := range map[string]func(*testing.T, *harness.Env){
				"fill and commit":    fillAndCommit,
				"daemon restarted":   limitedRestart,
				"moves":              limitedMoves,
				"removed":            limitedRemoved,
				"snapshot, live one": limitedLive,
			} {
				before := e.State(t)
				t.Run(name, func(t *testing.T) { test(t, e) })
				before.Images, before.Snapshots = nil, nil
				after := e.State(t)
				after.Images, after.Snapshots = nil, nil
				if err := before.Compare(after); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// newQuotaEnv starts a stack on a file system of its own.
func newQuotaEnv(t *testing.T, kind volume.Kind) *harness.Env {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "baleen-quota-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	v, err := volume.OpenLoop(t.Context(), kind, dir, 1<<30)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESRCH) {
		t.Skipf("this kernel cannot mount %s with project quotas: %v", kind.Name, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return harness.Start(t, stack.Config{Root: filepath.Join(v.Dir, "stack"), DaemonConfig: map[string]any{"bridge": "none", "iptables": false, "ip6tables": false}}, "busybox")
}

const (
	limit8M = "size=8M"
	// fill writes until it cannot, and says how many KiB there are.
	fill  = `dd if=/dev/zero of=/full bs=64k count=512 2>&1 | grep -o 'No space left on device\|[Qq]uota exceeded'; sync; du -k /full | cut -f1; `
	count = `du -sk /full | cut -f1`
)

// filled starts a container that fills what it may write, and checks that this is
// about so many MiB.
func filled(t *testing.T, e *harness.Env, id string, most int) {
	t.Helper()
	out, _ := e.Try(t, "start", "-a", id)
	lines := strings.Split(out, "\n")
	var got int
	if _, err := fmt.Sscan(lines[len(lines)-1], &got); err != nil {
		t.Fatalf("the container says %s", out)
	}
	limited := strings.Contains(out, "No space") || strings.Contains(out, "exceeded")
	if limited != (most < 32) || got > most<<10 || got < (most-1)<<10 {
		t.Errorf("it wrote %d KiB and says %s, want %d MiB", got, out, most)
	}
}

func fillAndCommit(t *testing.T, e *harness.Env) {
	id := e.Create(t, "--storage-opt", limit8M, "busybox", "sh", "-c", fill)
	if got := e.Inspect(t, id, "{{.HostConfig.StorageOpt}}"); got != "map[size:8M]" {
		t.Errorf("docker inspect says %s", got)
	}
	filled(t, e, id, 8)
	filled(t, e, e.Create(t, "busybox", "sh", "-c", fill), 32) // beside it is no limit
	privileged := e.Create(t, "--privileged", "--storage-opt", limit8M, "busybox", "sh", "-c", fill)
	filled(t, e, privileged, 8)

	e.Must(t, "commit", id, "filled")
	if got := e.Must(t, "run", "--rm", "--network=none", "filled", "sh", "-c", count+"; dd if=/dev/zero of=/more bs=1M count=32 && "+count); strings.Contains(got, "device") {
		t.Errorf("a container of the image says %s", got)
	}
	filled(t, e, e.Create(t, "--storage-opt", limit8M, "filled", "sh", "-c", "rm /full;"+fill), 8)
}

func limitedRestart(t *testing.T, e *harness.Env) {
	first := e.Create(t, "--storage-opt", limit8M, "busybox", "sh", "-c", fill)
	e.Must(t, "rm", e.Create(t, "--storage-opt", limit8M, "busybox"))
	if err := errors.Join(e.KillDockerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
		t.Fatal(err)
	}
	second := e.Create(t, "--storage-opt", "size=4M", "busybox", "sh", "-c", fill)
	if a, b := project(t, e, first), project(t, e, second); a == b {
		t.Errorf("two containers have project %s", a)
	}
	filled(t, e, first, 8)
	filled(t, e, second, 4)
	filled(t, e, e.Create(t, "--storage-opt", limit8M, "busybox", "sh", "-c", fill), 8)
}

// limitedMoves: what has been sealed goes on counting, on whatever the container
// stands, until it is pruned.
func limitedMoves(t *testing.T, e *harness.Env) {
	id := e.Create(t, "--storage-opt", limit8M, "busybox", "sh", "-c",
		"test -e /three || dd if=/dev/zero of=/three bs=1M count=3 2>/dev/null; rm -f /full; "+fill)
	filled(t, e, id, 5)
	e.Must(t, "baleen", "snapshot", id) // 8 of 8
	full(t, e, id, "after all was kept")
	e.Must(t, "baleen", "rollback", "--no-start", id)
	e.Must(t, "build", "-q", "-t", "other", writeFile(t, "FROM busybox\nLABEL other=1\n"))
	e.Must(t, "baleen", "upgrade", "--no-start", id, "other")
	full(t, e, id, "after an upgrade")
	if err := errors.Join(e.KillDockerd(t.Context()), e.StartDockerd(t.Context())); err != nil {
		t.Fatal(err)
	}
	full(t, e, id, "after a restart")
}

// full starts a container that has nothing left to write. XFS then refuses even
// what the kernel needs to mount an overlay for writing.
func full(t *testing.T, e *harness.Env, id, when string) {
	t.Helper()
	if out, _ := e.Try(t, "start", "-a", id); !strings.HasSuffix(out, "\n0") && !strings.Contains(out, "Read-only file system") {
		t.Errorf("%s there is room still: %s", when, out)
	}
}

// limitedRemoved: number and limit go with the container.
func limitedRemoved(t *testing.T, e *harness.Env) {
	number := ""
	for range 3 {
		id := e.Create(t, "--storage-opt", limit8M, "busybox", "sh", "-c", fill)
		now := project(t, e, id)
		if number == "" {
			number = now
		} else if now != number {
			t.Errorf("a container has project %s, and the one before, which is gone, had %s", now, number)
		}
		filled(t, e, id, 8)
		e.Must(t, "rm", id)
	}
	id := e.Create(t, "--storage-opt", "size=16M", "busybox", "sh", "-c", fill)
	filled(t, e, id, 16)
}

// project is the number of the project that a container's upper belongs to.
func project(t *testing.T, e *harness.Env, id string) string {
	t.Helper()
	mounts, err := e.Client.SnapshotService(harness.Snapshotter).Mounts(e.Context(t), id)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(mounts[0].Options, func(o string) bool { return strings.HasPrefix(o, "upperdir=") })
	out, err := exec.CommandContext(t.Context(), "lsattr", "-pd", strings.TrimPrefix(mounts[0].Options[at], "upperdir=")).CombinedOutput()
	number, attributes, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || number == "0" || !strings.Contains(strings.Fields(attributes)[0], "P") {
		t.Errorf("the container's upper is of no project: %v: %s", err, out)
	}
	return number
}

// limitedLive: the copy that a snapshot of a running container makes does not
// count.
func limitedLive(t *testing.T, e *harness.Env) {
	id := e.Create(t, "--storage-opt", limit8M, "busybox", "sh", "-c", fill+"echo ready; while :; do sleep 0.1; done")
	e.Must(t, "start", id)
	harness.Eventually(t, "the container to fill", func() error {
		if logs := e.Must(t, "logs", id); !strings.HasSuffix(logs, "ready") {
			return errors.New(logs)
		}
		return nil
	})
	e.Must(t, "baleen", "snapshot", id)
	e.Must(t, "commit", id)
}

// writeFile makes a folder with a Dockerfile.
func writeFile(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	harness.WriteFile(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	return dir
}
