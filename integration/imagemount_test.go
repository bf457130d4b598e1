package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
func (e *env) mountable(t *testing.T) (name, id string) {
	t.Helper()
	name = "registry.example.com/some/image:1"
	ctr := e.docker(t, "create", "busybox")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "deep", "file"), "mounted\n")
	e.docker(t, "cp", dir, ctr+":/data")
	id = e.docker(t, "commit", ctr, name)
	e.docker(t, "rm", ctr)
	return name, id
}

// withoutRootfs checks that no folder is left where roots are mounted.
func (e *env) withoutRootfs(t *testing.T, when string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(e.DataRoot(), "rootfs", snapshotter, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%s: folders are left: %v", when, left)
	}
}

// runMounted starts a container. With image mounts the command warns before it
// prints the id.
func (e *env) runMounted(t *testing.T, flags ...string) string {
	t.Helper()
	args := append([]string{"run", "-d", "--init"}, flags...)
	id := lastLine(e.docker(t, append(args, "busybox", "sleep", "1000")...))
	t.Cleanup(func() { e.remove(t, id) })
	return id
}

func (e *env) seesMounts(t *testing.T, id, when string) {
	t.Helper()
	if got := e.docker(t, "exec", id, "sh", "-c", mountedFiles); got != mountedWant {
		t.Errorf("%s: the container sees %q", when, got)
	}
}

// TestImageMountedTwice mounts one image several times in a container, which goes
// through stop, start and restarts of the daemon, also of one that finds no mount
// any more, and is removed: nothing is left of the mounts.
func TestImageMountedTwice(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	name, id := e.mountable(t)
	before := e.state(t)
	for end, remove := range map[string]func(ctr string){
		"stopped, and removed": func(ctr string) {
			e.docker(t, "stop", ctr)
			e.docker(t, "rm", ctr)
		},
		"removed by force": func(ctr string) { e.docker(t, "rm", "-f", ctr) },
		"removed by force after live-restore": func(ctr string) {
			e.restartDockerd(t)
			e.seesMounts(t, ctr, "after live-restore")
			e.docker(t, "rm", "-f", ctr)
		},
		"started again by another daemon": func(ctr string) {
			e.docker(t, "stop", ctr)
			e.restartDockerd(t)
			e.docker(t, "start", ctr)
			e.seesMounts(t, ctr, "started by another daemon")
			e.docker(t, "rm", "-f", ctr)
		},
		"started again after the mounts are gone": func(ctr string) {
			e.docker(t, "stop", ctr)
			if err := e.StopDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.unmountRoots(t)
			if err := e.StartDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.docker(t, "start", ctr)
			e.seesMounts(t, ctr, "after the mounts were gone")
			e.docker(t, "rm", "-f", ctr)
		},
		"removed after a restart": func(ctr string) {
			e.docker(t, "stop", ctr)
			e.restartDockerd(t)
			e.docker(t, "rm", ctr)
		},
	} {
		t.Run(end, func(t *testing.T) {
			ctr := e.runMounted(t, mountedTwice(name, id)...)
			e.seesMounts(t, ctr, "at first")
			remove(ctr)
			e.settled(t, before)
			e.withoutRootfs(t, end)
		})
	}
	t.Run("removes itself while the daemon is away", func(t *testing.T) {
		ctr := e.runMounted(t, append(mountedTwice(name, id), "--rm")...)
		if err := e.KillDockerd(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.killTask(t, ctr)
		if err := e.StartDockerd(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.settled(t, before)
		e.withoutRootfs(t, "removed itself")
	})
}

func (e *env) restartDockerd(t *testing.T) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestImageMountOfNoContainer makes containers with image mounts that cannot be
// created, each for another reason, and kills the daemon while it creates one:
// nothing is left of the mounts.
func TestImageMountOfNoContainer(t *testing.T) {
	e, p := newFaultEnv(t, "busybox")
	name, id := e.mountable(t)
	before := e.state(t)
	mounts := mountedTwice(name, id)
	for why, flags := range map[string][]string{
		"no such image":      {"--pull", "never", "--mount", "type=image,source=none,target=/none"},
		"two at one target":  {"--mount", "type=image,source=" + name + ",target=/a"},
		"no such link":       {"--link", "nobody:x"},
		"no folder in image": {"--workdir", "/bin/sh"},
	} {
		t.Run(why, func(t *testing.T) {
			args := append(append([]string{"create", "--name", "fails"}, mounts...), flags...)
			out, err := e.try(t, append(args, "busybox")...)
			if err == nil {
				e.remove(t, "fails")
				t.Fatalf("it was created: %s", out)
			}
			e.settled(t, before)
			e.withoutRootfs(t, why)
		})
	}
	create := append([]string{"create", "--name", "fails"}, append(mounts[:4], "busybox")...)
	t.Run("each call fails", func(t *testing.T) {
		eachCallOf(t, p, []string{"leases", "snapshots"}, func() (string, error) { return e.try(t, create...) }, func(failed, out string, err error) {
			if err == nil {
				e.remove(t, "fails")
			}
			e.settledBut(t, failed, before)
			e.withoutRootfs(t, failed)
		})
		e.remove(t, "fails")
	})
	t.Run("the daemon is killed", func(t *testing.T) {
		for n := 1; ; n += 2 {
			where, _ := e.killIn(t, p, stack.Dockerd, n, create...)
			if e.docker(t, "ps", "-aq") != "" {
				e.remove(t, "fails")
			}
			e.settledBut(t, "the kill before "+where, before)
			e.withoutRootfs(t, where)
			if where == "" {
				break
			}
		}
	})
}

// unmountRoots unmounts what the daemon has mounted for containers, as a restart of
// the machine does.
func (e *env) unmountRoots(t *testing.T) {
	t.Helper()
	for _, at := range e.mounts(t) {
		if !strings.HasPrefix(at, filepath.Join(e.DataRoot(), "rootfs")+"/") {
			continue
		}
		if out, err := output(e.Command(t.Context(), "umount", at)); err != nil {
			t.Fatalf("umount %s: %v\n%s", at, err, out)
		}
	}
}

// killTask ends a container's processes without the daemon.
func (e *env) killTask(t *testing.T, id string) {
	t.Helper()
	c, err := e.client.LoadContainer(e.ctx(t), id)
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.Task(e.ctx(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := task.Wait(e.ctx(t))
	if err == nil {
		err = task.Kill(e.ctx(t), unix.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-ended
}
