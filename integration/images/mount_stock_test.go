package images_test

import (
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestImageMountOfStock has stock Moby make containers with image mounts, to which it
// gives other names: Moby 28.5 appends the image, and Moby 29 takes a hash. The fork
// starts, commits, upgrades and rolls them back, gives them to stock again, and removes
// them: nothing is left.
func TestImageMountOfStock(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	flags, look, want := mountedByStock(t, e)
	next := e.Run(t, "busybox", "echo next > /next")
	e.Must(t, "commit", next, "next")
	e.Must(t, "rm", "-f", next)
	before := e.State(t)
	for when, end := range map[string]func(ctr string){
		"live-restored": func(string) {},
		"stopped":       func(ctr string) { e.Must(t, "stop", "-t", "0", ctr) },
		"stopped, and the mounts are gone": func(ctr string) {
			e.Must(t, "stop", "-t", "0", ctr)
			restartWithoutMounts(t, e)
		},
	} {
		t.Run(when, func(t *testing.T) {
			ctr := runMounted(t, e, flags...)
			e.Must(t, "exec", ctr, "sh", "-c", "echo mine > /mine")
			created := harness.LastLine(e.Must(t, append(append([]string{"create"}, flags...), "busybox", "sh", "-c", look)...))
			end(ctr)
			e.SwitchTo(t, stack.Fork)
			sees := func(when string) {
				t.Helper()
				e.Must(t, "start", ctr)
				if got := e.Must(t, "exec", ctr, "sh", "-c", look); got != want {
					t.Errorf("%s: the container sees %q", when, got)
				}
			}
			sees("on the fork")
			if got := e.Must(t, "start", "-a", created); got != want {
				t.Errorf("the container that stock had not started sees %q", got)
			}
			e.Must(t, "commit", ctr, "committed")
			if got := e.Must(t, "run", "--rm", "committed", "sh", "-c", "cat /mine; ls /a"); got != "mine" {
				t.Errorf("the committed image has %q", got)
			}
			e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", ctr, "next")
			sees("upgraded")
			if got := e.Must(t, "exec", ctr, "cat", "/mine", "/next"); got != "mine\nnext" {
				t.Errorf("the upgraded container has %q", got)
			}
			e.Must(t, "baleen", "rollback", ctr, "1")
			sees("rolled back")
			e.SwitchTo(t, stack.Stock)
			sees("on stock again")
			e.SwitchTo(t, stack.Fork)
			sees("on the fork again")
			e.Must(t, "rm", "-f", ctr, created)
			e.Must(t, "rmi", "committed")
			e.Settled(t, before)
			withoutRootfs(t, e, "removed")
			e.SwitchTo(t, stack.Stock)
		})
	}
}

// TestImageMountBackToStock has the fork make containers with image mounts. Stock goes
// on with them, commits and removes them: nothing is left.
func TestImageMountBackToStock(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	name, id := mountable(t, e)
	before := e.State(t)
	running, stopped := runMounted(t, e, mountedTwice(name, id)...), runMounted(t, e, mountedTwice(name, id)...)
	e.Must(t, "stop", "-t", "0", stopped)
	e.SwitchTo(t, stack.Stock)
	seesMounts(t, e, running, "live-restored by stock")
	e.Must(t, "start", stopped)
	seesMounts(t, e, stopped, "started by stock")
	e.Must(t, "exec", running, "sh", "-c", "echo mine > /mine")
	e.Must(t, "commit", running, "committed")
	if got := e.Must(t, "run", "--rm", "committed", "sh", "-c", "cat /mine; ls /a"); got != "mine" {
		t.Errorf("the image that stock committed has %q", got)
	}
	e.Must(t, "rmi", "committed")
	e.Must(t, "rm", "-f", running, stopped)
	e.Settled(t, before)
	withoutRootfs(t, e, "removed by stock")
}

// mountedByStock are the flags with which stock mounts an image, a script that looks at
// it, and what that prints. Moby 28.5 can mount an image only once, and leaves a folder
// if its name has a slash.
func mountedByStock(t *testing.T, e *harness.Env) (flags []string, look, want string) {
	name, id := mountable(t, e)
	if harness.EngineLine(t) == engine.V28 {
		return []string{"--mount", "type=image,source=" + id + ",target=/a"}, "cat /a/data/deep/file", "mounted"
	}
	return mountedTwice(name, id), mountedFiles, mountedWant
}
