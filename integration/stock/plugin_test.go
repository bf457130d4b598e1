package stock_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestPlugin: the docker command finds `docker baleen`, shows its help, completes
// its arguments, and on a daemon that is not Baleen's it says so.
func TestPlugin(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock}, "busybox")
	e.Must(t, "create", "--name", "work", "busybox", "true")

	help := e.Must(t, "baleen", "--help")
	for _, verb := range []string{"snapshot", "upgrade", "rollback", "revisions", "prune", "checkpoint", "restore", "df", "check"} {
		if !strings.Contains(help, "\n  "+verb+" ") {
			t.Errorf("the help does not list %s:\n%s", verb, help)
		}
		if out := e.Must(t, "baleen", verb, "--help"); !strings.Contains(out, "docker baleen "+verb) || !strings.Contains(out, "Examples:") {
			t.Errorf("the help of %s is\n%s", verb, out)
		}
	}
	if out := e.Must(t, "--help"); !strings.Contains(out, "baleen*") {
		t.Errorf("the help of docker does not have it:\n%s", out)
	}
	for args, want := range map[string]string{"snapshot": "work", "upgrade work": "busybox:latest"} {
		out := e.Must(t, append(append([]string{"__complete", "baleen"}, strings.Fields(args)...), "")...)
		if !slices.Contains(strings.Split(out, "\n"), want) {
			t.Errorf("the completion of %s is %q", args, out)
		}
	}
	for _, args := range []string{"snapshot work", "upgrade work busybox", "rollback work", "revisions work", "prune work", "checkpoint work", "restore busybox"} {
		out, err := e.Try(t, append([]string{"baleen"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(out, "the daemon at "+e.Host()+" is not Baleen's") {
			t.Errorf("on stock %s prints %q (%v)", args, out, err)
		}
	}
	e.Must(t, "rm", "work")
}
