package images_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// mountedTwice are flags that mount one image three times, by its names and in part.
func mountedTwice(image, id string) []string {
	return []string{
		"--mount", "type=image,source=" + image + ",target=/a",
		"--mount", "type=image,source=" + image + ",target=/b",
		"--mount", "type=image,source=" + image + ",target=/c,image-subpath=data/deep",
		"--mount", "type=image,source=" + id + ",target=/d,image-subpath=data",
	}
}

// mountedFiles reads what is mounted so.
const mountedFiles = "cat /a/data/deep/file /b/data/deep/file /c/file /d/deep/file; ! touch /a/x 2>/dev/null && ! touch /c/x 2>/dev/null && echo read-only"

const mountedWant = "mounted\nmounted\nmounted\nmounted\nread-only"

// mountable makes an image to mount, under a name with slashes.
func mountable(t *testing.T, e *harness.Env) (name, id string) {
	t.Helper()
	name = "registry.example.com/some/image:1"
	ctr := e.Must(t, "create", "busybox")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	harness.WriteFile(t, filepath.Join(dir, "deep", "file"), "mounted\n")
	e.Must(t, "cp", dir, ctr+":/data")
	id = e.Must(t, "commit", ctr, name)
	e.Must(t, "rm", ctr)
	return name, id
}

// withoutRootfs checks that no folder is left where roots are mounted.
func withoutRootfs(t *testing.T, e *harness.Env, when string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(e.DataRoot(), "rootfs", harness.Snapshotter, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%s: folders are left: %v", when, left)
	}
}

// runMounted starts a container. With image mounts the command warns before it
// prints the id.
func runMounted(t *testing.T, e *harness.Env, flags ...string) string {
	t.Helper()
	args := append([]string{"run", "-d", "--init"}, flags...)
	id := harness.LastLine(e.Must(t, append(args, "busybox", "sleep", "1000")...))
	t.Cleanup(func() { e.Remove(t, id) })
	return id
}

func seesMounts(t *testing.T, e *harness.Env, id, when string) {
	t.Helper()
	if got := e.Must(t, "exec", id, "sh", "-c", mountedFiles); got != mountedWant {
		t.Errorf("%s: the container sees %q", when, got)
	}
}

// TestImageMountedTwice mounts one image several times in a container, which goes
// through stop, start and restarts of the daemon, also of one that finds no mount
// any more, and is removed: nothing is left of the mounts.
func TestImageMountedTwice(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	name, id := mountable(t, e)
	before := e.State(t)
	for end, remove := range map[string]func(ctr string){
		"stopped, and removed": func(ctr string) {
			e.Must(t, "stop", ctr)
			e.Must(t, "rm", ctr)
		},
		"removed by force": func(ctr string) { e.Must(t, "rm", "-f", ctr) },
		"removed by force after live-restore": func(ctr string) {
			e.RestartDockerd(t)
			seesMounts(t, e, ctr, "after live-restore")
			e.Must(t, "rm", "-f", ctr)
		},
		"started again by another daemon": func(ctr string) {
			e.Must(t, "stop", ctr)
			e.RestartDockerd(t)
			e.Must(t, "start", ctr)
			seesMounts(t, e, ctr, "started by another daemon")
			e.Must(t, "rm", "-f", ctr)
		},
		"started again after the mounts are gone": func(ctr string) {
			e.Must(t, "stop", ctr)
			restartWithoutMounts(t, e)
			e.Must(t, "start", ctr)
			seesMounts(t, e, ctr, "after the mounts were gone")
			e.Must(t, "rm", "-f", ctr)
		},
		"removed after a restart": func(ctr string) {
			e.Must(t, "stop", ctr)
			e.RestartDockerd(t)
			e.Must(t, "rm", ctr)
		},
	} {
		t.Run(end, func(t *testing.T) {
			ctr := runMounted(t, e, mountedTwice(name, id)...)
			seesMounts(t, e, ctr, "at first")
			remove(ctr)
			e.Settled(t, before)
			withoutRootfs(t, e, end)
		})
	}
	t.Run("removes itself while the daemon is away", func(t *testing.T) {
		ctr := runMounted(t, e, append(mountedTwice(name, id), "--rm")...)
		if err := e.KillDockerd(t.Context()); err != nil {
			t.Fatal(err)
		}
		killTask(t, e, ctr)
		if err := e.StartDockerd(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.Settled(t, before)
		withoutRootfs(t, e, "removed itself")
	})
}

// restartWithoutMounts has the daemon start as after the machine's own start: nothing is
// mounted.
func restartWithoutMounts(t *testing.T, e *harness.Env) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	unmountRoots(t, e)
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestImageMountOfNoContainer makes containers with image mounts that cannot be
// created, each for another reason, and kills the daemon while it creates one:
// nothing is left of the mounts.
func TestImageMountOfNoContainer(t *testing.T) {
	e, p := harness.StartFaulty(t, "busybox")
	name, id := mountable(t, e)
	before := e.State(t)
	mounts := mountedTwice(name, id)
	for why, flags := range map[string][]string{
		"no such image":      {"--pull", "never", "--mount", "type=image,source=none,target=/none"},
		"two at one target":  {"--mount", "type=image,source=" + name + ",target=/a"},
		"no such link":       {"--link", "nobody:x"},
		"no folder in image": {"--workdir", "/bin/sh"},
	} {
		t.Run(why, func(t *testing.T) {
			args := append(append([]string{"create", "--name", "fails"}, mounts...), flags...)
			out, err := e.Try(t, append(args, "busybox")...)
			if err == nil {
				e.Remove(t, "fails")
				t.Fatalf("it was created: %s", out)
			}
			e.Settled(t, before)
			withoutRootfs(t, e, why)
		})
	}
	create := append([]string{"create", "--name", "fails"}, append(mounts[:4], "busybox")...)
	t.Run("each call fails", func(t *testing.T) {
		harness.EachCallOf(t, p, []string{"leases", "snapshots"}, func() (string, error) { return e.Try(t, create...) }, func(failed, out string, err error) {
			if err == nil {
				e.Remove(t, "fails")
			}
			e.SettledBut(t, failed, before)
			withoutRootfs(t, e, failed)
		})
		e.Remove(t, "fails")
	})
	t.Run("the daemon is killed", func(t *testing.T) {
		for n := 1; ; n += 2 {
			where, _ := e.KillIn(t, p, stack.Dockerd, n, create...)
			if e.Must(t, "ps", "-aq") != "" {
				e.Remove(t, "fails")
			}
			e.SettledBut(t, "the kill before "+where, before)
			withoutRootfs(t, e, where)
			if where == "" {
				break
			}
		}
	})
}

// unmountRoots unmounts what the daemon has mounted for containers, as a restart of
// the machine does.
func unmountRoots(t *testing.T, e *harness.Env) {
	t.Helper()
	for _, at := range e.Mounts(t) {
		if !strings.HasPrefix(at, filepath.Join(e.DataRoot(), "rootfs")+"/") {
			continue
		}
		if out, err := harness.Output(e.Command(t.Context(), "umount", at)); err != nil {
			t.Fatalf("umount %s: %v\n%s", at, err, out)
		}
	}
}

// killTask ends a container's processes without the daemon.
func killTask(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	c, err := e.Client.LoadContainer(e.Context(t), id)
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.Task(e.Context(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := task.Wait(e.Context(t))
	if err == nil {
		err = task.Kill(e.Context(t), unix.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-ended
}
