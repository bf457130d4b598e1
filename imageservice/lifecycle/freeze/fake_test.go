package freeze_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/freeze"
)

const id = "fedcba9876543210"

// world is a daemon with one container, whose process is real and in a control group of
// its own. It has the roles of package freeze.
type world struct {
	c     *moby.Container
	f     *freeze.Freezer
	pid   int
	group string // folder of the control group

	mu         sync.Mutex
	calls      []string // of the roles and of the container's task
	pauseError error
	status     containerd.ProcessStatus // of the task, by containerd
	shows      bool                     // docker ps shows a pause
	unrecorded bool                     // containerd has a task that the record does not know
	panics     bool                     // the next Log does
	fullDisk   int                      // how often Save is to fail
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{c: moby.NewContainer(id, t.TempDir()), status: containerd.Running}
	w.f = freeze.New(w)
	w.c.HostConfig = &moby.HostConfig{}
	w.c.HostConfig.Runtime = moby.StockRuntimeName
	w.start(t)
	loaded, err := w.f.Client(client{w: w}).LoadContainer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	task, err := loaded.Task(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.c.State.SetRunning(loaded, task, time.Now())
	return w
}

// start runs a process in a control group that is named after the container.
func (w *world) start(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make control groups")
	}
	w.group = filepath.Join(hierarchy(t), fmt.Sprintf("baleen-freeze-%d-%s", os.Getpid(), id))
	if err := os.Mkdir(w.group, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.pid = cmd.Process.Pid
	t.Cleanup(func() {
		if w.frozen(t) {
			t.Error("the container is left frozen")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // "killed"
		if err := os.Remove(w.group); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(w.group, "cgroup.procs"), fmt.Append(nil, w.pid), 0); err != nil {
		t.Fatal(err)
	}
}

// hierarchy finds where control groups with a freezer are.
func hierarchy(t *testing.T) string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if slices.Contains(strings.Split(m.VFSOptions, ","), "freezer") {
			return m.Mountpoint
		}
	}
	for _, m := range mounts {
		if m.FSType == "cgroup2" {
			return m.Mountpoint
		}
	}
	t.Skip("there are no control groups with a freezer here")
	return ""
}

// control is the file by which the control group is frozen and thawed.
func (w *world) control(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"freezer.state", "cgroup.freeze"} {
		if _, err := os.Stat(filepath.Join(w.group, name)); err == nil {
			return filepath.Join(w.group, name)
		}
	}
	t.Fatal("the control group has no freezer")
	return ""
}

// frozen asks the kernel.
func (w *world) frozen(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.group, "freezer.state"))
	if err == nil {
		return strings.TrimSpace(string(text)) != "THAWED"
	}
	text, err = os.ReadFile(filepath.Join(w.group, "cgroup.freeze"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text)) == "1"
}

func (w *world) call(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, name)
}

func (w *world) called() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *world) Pause(c *moby.Container) error {
	w.call("pause")
	if w.pauseError != nil {
		return w.pauseError
	}
	c.State.Lock()
	defer c.State.Unlock()
	if c.State.Paused {
		return moby.Conflict(errors.New("it is paused already"))
	}
	c.State.Paused, w.shows = true, true
	return nil
}

func (w *world) Unpause(c *moby.Container) error {
	w.call("unpause")
	c.State.Lock()
	defer c.State.Unlock()
	if !c.State.Paused {
		return errors.New("it is not paused")
	}
	c.State.Paused = false
	return nil
}

func (w *world) Resumed(*moby.Container) error { w.call("resumed"); return nil }

func (w *world) Save(context.Context, *moby.Container) error {
	w.call("save")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fullDisk > 0 {
		w.fullDisk--
		return errors.New("no space left on device")
	}
	w.shows = false
	return nil
}

func (w *world) ShowsPaused(*moby.Container) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shows
}

func (w *world) UnrecordedTask(context.Context, *moby.Container) (containerd.Task, error) {
	if !w.unrecorded {
		return nil, nil
	}
	return unrecordedTask{pid: w.pid}, nil
}

func (w *world) Log(_ *moby.Container, action moby.EventAction, attributes map[string]string) {
	attributes["name"] = "" // as the daemon does
	if w.panics {
		w.panics = false
		panic("cannot log")
	}
	w.call("event " + string(action))
}

type unrecordedTask struct {
	containerd.Task
	pid int
}

func (t unrecordedTask) Pid() uint32 { return uint32(t.pid) }

// client, runtime and task are containerd as the daemon sees it; they note what they
// are asked, and whether the container was frozen then.
type client struct {
	moby.RuntimeClient
	w *world
}

func (c client) LoadContainer(context.Context, string) (moby.RuntimeContainer, error) {
	return runtime{w: c.w}, nil
}

type runtime struct {
	moby.RuntimeContainer
	w *world
}

func (r runtime) Task(context.Context) (moby.Task, error) { return task{w: r.w}, nil }

type task struct {
	moby.Task
	w *world
}

func (t task) Pid() uint32 { return uint32(t.w.pid) }
func (t task) Status(context.Context) (containerd.Status, error) {
	return containerd.Status{Status: t.w.status}, nil
}
func (t task) Pause(context.Context) error       { t.w.call("task pause"); return nil }
func (t task) Resume(context.Context) error      { t.w.call("task resume"); return nil }
func (t task) ForceDelete(context.Context) error { t.w.call("task delete"); return nil }
func (t task) Pids(context.Context) ([]containerd.ProcessInfo, error) {
	t.w.call("task pids")
	return nil, nil
}
func (t task) UpdateResources(context.Context, *moby.TaskResources) error {
	t.w.call("task update")
	return nil
}
func (t task) CreateCheckpoint(context.Context, string, bool) error {
	t.w.call("task checkpoint")
	return nil
}
func (t task) Exec(context.Context, string, *specs.Process, bool, moby.StdioCallback) (moby.Process, error) {
	t.w.call("task exec")
	return nil, nil
}
