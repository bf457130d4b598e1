package kill_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"

	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// restoreKiller kills daemons in the middle of restores of one checkpoint, whose
// container is gone, and its image with it.
type restoreKiller struct {
	*harness.Env
	proxy     *fault.Proxy
	processes bool
	before    harness.State
	beside    []string // what there was besides
	whole     int      // containers that were there after a kill
	none      int
}

// newRestoreKiller makes the checkpoint.
func newRestoreKiller(t *testing.T, liveRestore, processes bool) *restoreKiller {
	t.Helper()
	config := map[string]any{"bridge": "none", "live-restore": liveRestore}
	e, p := harness.StartFaultyWith(t, stack.Config{DaemonConfig: config}, "busybox")
	k := &restoreKiller{Env: e, proxy: p, processes: processes}
	if processes {
		k.RunCounter(t, "web", "--network", "none", "-e", "FIRST=rm /bin/vi")
		k.Must(t, "baleen", "checkpoint", "web", "web:1")
	} else {
		k.Run(t, "busybox", "[ -e /counted ] || { rm /bin/vi; echo 1 > /counted; echo x > /begun; }", "--name", "web", "--network", "none")
		k.Must(t, "baleen", "checkpoint", "--no-process", "web", "web:1")
	}
	k.Remove(t, "web")
	k.Must(t, "rmi", "busybox")
	k.CollectGarbage(t)
	k.before, k.beside = k.StateAtRest(t), k.others(t)
	return k
}

// others lists what state does not: containers, in containerd and on disk, with
// their tasks.
func (k *restoreKiller) others(t *testing.T) (list []string) {
	t.Helper()
	containers, err := k.Client.ContainerService().List(k.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range containers {
		list = append(list, "containerd's container "+c.ID)
	}
	running, err := k.Client.TaskService().List(k.Context(t), &tasks.ListTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range running.Tasks {
		list = append(list, "task "+task.ID)
	}
	folders, err := os.ReadDir(filepath.Join(k.DataRoot(), "containers"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		list = append(list, "folder "+f.Name())
	}
	if out := k.Must(t, "ps", "-aq", "--no-trunc"); out != "" {
		list = append(list, "container "+out)
	}
	return list
}

// nothing fails the test if something of a restore is left.
func (k *restoreKiller) nothing(t *testing.T, what string) {
	t.Helper()
	harness.Eventually(t, what, func() error {
		if others := k.others(t); !slices.Equal(others, k.beside) {
			return fmt.Errorf("there is %v", others)
		}
		if err := k.before.Compare(harness.WithoutStarts(k.State(t))); err != nil {
			return err
		}
		return k.Inconsistent(t)
	})
}

// kill restores, and kills a daemon before the nth call. It returns where, "" if
// the restore makes fewer calls, and whether the restore was said to be done.
func (k *restoreKiller) kill(t *testing.T, d stack.Daemon, n int) (where string, done bool) {
	t.Helper()
	where, failed := k.KillIn(t, k.proxy, d, n, "baleen", "restore", "-q", "web:1")
	return where, failed == nil
}

// round kills once, and looks what there is then. It returns false if the restore
// makes fewer calls.
func (k *restoreKiller) round(t *testing.T, d stack.Daemon, n int) bool {
	t.Helper()
	where, done := k.kill(t, d, n)
	at := fmt.Sprintf("%s killed before call %d, %s", d, n, where)
	harness.Eventually(t, "what has failed to be removed: "+at, func() error {
		if dead := k.Must(t, "ps", "-a", "--format", "{{.ID}} {{.Status}}", "-f", "status=dead", "-f", "status=removing", "-f", "status=created"); dead != "" {
			return errors.New(dead)
		}
		return nil
	})
	if there := k.Must(t, "ps", "-aq", "--no-trunc"); there != "" {
		k.whole++
		k.isWhole(t, at, there)
		k.Remove(t, there)
		k.RemoveRestoredImages(t) // what the container has used
	} else if k.none++; done {
		t.Errorf("%s: there is no container, and the restore was said to be done", at)
	}
	k.nothing(t, "all to go: "+at)
	if where == "" {
		return false
	}
	again := harness.LastLine(k.Must(t, "baleen", "restore", "-q", "web:1"))
	k.isWhole(t, "restored after "+at, again)
	k.Remove(t, again)
	k.RemoveRestoredImages(t)
	k.nothing(t, "all to go of the next restore after: "+at)
	return true
}

// isWhole fails the test if a container is not what the checkpoint is of. One
// that has ended with the daemon is started.
func (k *restoreKiller) isWhole(t *testing.T, at, id string) {
	t.Helper()
	if strings.Contains(id, "\n") {
		t.Fatalf("%s: there are containers\n%s", at, id)
	}
	if got := k.Inspect(t, id, "{{.Name}} {{.Config.Image}} {{.State.StartedAt}}"); !strings.HasPrefix(got, "/web busybox 2") {
		t.Errorf("%s: the container is %s", at, got)
	}
	diff := slices.DeleteFunc(strings.Split(k.Must(t, "diff", id), "\n"), func(line string) bool {
		return line == "C /tmp" // CRIU has a folder there for a moment
	})
	if slices.Sort(diff); !slices.Equal(diff, []string{"A /begun", "A /counted", "C /bin", "D /bin/vi"}) {
		t.Errorf("%s: docker diff of the container prints %q", at, diff)
	}
	if begun := k.Must(t, "cp", id+":/begun", "-"); strings.Count(begun, "x\n") != 1 {
		t.Errorf("%s: it has begun again: %q", at, begun)
	}
	if k.Inspect(t, id, "{{.State.Running}}") == "false" {
		k.Must(t, "start", id)
	}
	if got := k.Must(t, "exec", id, "head", "-n", "1", "/counted"); got != "1" {
		t.Errorf("%s: it has counted from %q", at, got)
	}
	if out, err := k.Try(t, "checkpoint", "ls", id); err == nil && strings.Contains(out, "baleen") {
		t.Errorf("%s: there is a checkpoint of Docker's: %s", at, out)
	}
}

// eachCall kills before every step-th call, from the first on.
func (k *restoreKiller) eachCall(t *testing.T, d stack.Daemon, first, step int) {
	t.Helper()
	n := first
	for ; n <= harness.MostCalls && k.round(t, d, n); n += step {
		continue
	}
	if n == first || n > harness.MostCalls {
		t.Errorf("a restore makes %d calls", n)
	}
}

// TestKilledRestore kills dockerd before calls to containerd by which a restore of
// files, or of processes too, changes something, and containerd before some. With
// BALEEN_KILL_ALL set it does so before all calls.
//
// Afterwards the container is there, as it was and started, or nothing is; and the
// checkpoint can be restored.
func TestKilledRestore(t *testing.T) {
	for _, test := range []struct {
		name                   string
		liveRestore, processes bool
		all                    bool // with BALEEN_KILL_ALL alone
		dockerd, containerd    int  // before each call of this many
	}{
		{"files", false, false, false, 3, 8},
		{"files, live-restore", true, false, true, 1, 1},
		{"processes", false, true, true, 1, 1},
		{"processes, live-restore", true, true, false, 6, 14},
	} {
		if test.all && !harness.KillAll() {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			if test.processes {
				harness.NeedCRIU(t)
			}
			if harness.KillAll() {
				test.dockerd, test.containerd = 1, 1
			}
			k := newRestoreKiller(t, test.liveRestore, test.processes)
			k.eachCall(t, stack.Dockerd, 1, test.dockerd)
			k.eachCall(t, stack.Containerd, test.containerd, test.containerd)
			t.Logf("%d times there was the container, %d times nothing", k.whole, k.none)
		})
	}
}
