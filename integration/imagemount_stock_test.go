package integration_test

import (
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestImageMountOfStock has stock Moby make containers with image mounts, to which it
// gives other names: Moby 28.5 appends the image, and Moby 29 takes a hash. The fork
// starts, commits, upgrades and rolls them back, gives them to stock again, and removes
// them: nothing is left.
func TestImageMountOfStock(t *testing.T) {
	e := newEnv(t, stack.Config{Flavor: stack.Stock, DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	flags, look, want := e.mountedByStock(t)
	next := e.run(t, "busybox", "echo next > /next")
	e.docker(t, "commit", next, "next")
	e.docker(t, "rm", "-f", next)
	before := e.state(t)
	for when, end := range map[string]func(ctr string){
		"live-restored": func(string) {},
		"stopped":       func(ctr string) { e.docker(t, "stop", "-t", "0", ctr) },
		"stopped, and the mounts are gone": func(ctr string) {
			e.docker(t, "stop", "-t", "0", ctr)
			if err := e.StopDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.unmountRoots(t)
			if err := e.StartDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(when, func(t *testing.T) {
			ctr := e.runMounted(t, flags...)
			e.docker(t, "exec", ctr, "sh", "-c", "echo mine > /mine")
			created := lastLine(e.docker(t, append(append([]string{"create"}, flags...), "busybox", "sh", "-c", look)...))
			end(ctr)
			e.becomes(t, stack.Fork)
			sees := func(when string) {
				t.Helper()
				e.docker(t, "start", ctr)
				if got := e.docker(t, "exec", ctr, "sh", "-c", look); got != want {
					t.Errorf("%s: the container sees %q", when, got)
				}
			}
			sees("on the fork")
			if got := e.docker(t, "start", "-a", created); got != want {
				t.Errorf("the container that stock had not started sees %q", got)
			}
			e.docker(t, "commit", ctr, "committed")
			if got := e.docker(t, "run", "--rm", "committed", "sh", "-c", "cat /mine; ls /a"); got != "mine" {
				t.Errorf("the committed image has %q", got)
			}
			e.docker(t, "baleen", "upgrade", "--health-timeout", "1s", ctr, "next")
			sees("upgraded")
			if got := e.docker(t, "exec", ctr, "cat", "/mine", "/next"); got != "mine\nnext" {
				t.Errorf("the upgraded container has %q", got)
			}
			e.docker(t, "baleen", "rollback", ctr, "1")
			sees("rolled back")
			e.becomes(t, stack.Stock)
			sees("on stock again")
			e.becomes(t, stack.Fork)
			sees("on the fork again")
			e.docker(t, "rm", "-f", ctr, created)
			e.docker(t, "rmi", "committed")
			e.settled(t, before)
			e.withoutRootfs(t, "removed")
			e.becomes(t, stack.Stock)
		})
	}
}

// TestImageMountBackToStock has the fork make containers with image mounts. Stock goes
// on with them, commits and removes them: nothing is left.
func TestImageMountBackToStock(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	name, id := e.mountable(t)
	before := e.state(t)
	running, stopped := e.runMounted(t, mountedTwice(name, id)...), e.runMounted(t, mountedTwice(name, id)...)
	e.docker(t, "stop", "-t", "0", stopped)
	e.becomes(t, stack.Stock)
	e.seesMounts(t, running, "live-restored by stock")
	e.docker(t, "start", stopped)
	e.seesMounts(t, stopped, "started by stock")
	e.docker(t, "exec", running, "sh", "-c", "echo mine > /mine")
	e.docker(t, "commit", running, "committed")
	if got := e.docker(t, "run", "--rm", "committed", "sh", "-c", "cat /mine; ls /a"); got != "mine" {
		t.Errorf("the image that stock committed has %q", got)
	}
	e.docker(t, "rmi", "committed")
	e.docker(t, "rm", "-f", running, stopped)
	e.settled(t, before)
	e.withoutRootfs(t, "removed by stock")
}

// mountedByStock are the flags with which stock mounts an image, a script that looks at
// it, and what that prints. Moby 28.5 can mount an image only once, and leaves a folder
// if its name has a slash.
func (e *env) mountedByStock(t *testing.T) (flags []string, look, want string) {
	name, id := e.mountable(t)
	if line(t) == engine.V28 {
		return []string{"--mount", "type=image,source=" + id + ",target=/a"}, "cat /a/data/deep/file", "mounted"
	}
	return mountedTwice(name, id), mountedFiles, mountedWant
}
