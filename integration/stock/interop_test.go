package stock_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestMoveBetweenStockAndFork takes one data root from stock to the fork and
// back: whoever tries us must be able to leave again.
func TestMoveBetweenStockAndFork(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock}, "busybox")

	made := map[string]string{} // container name to the flavor that made it
	populate := func(flavor string) {
		name := "of-" + flavor
		script := "echo data of " + flavor + " > /data; rm /etc/group; echo done; sleep 1000"
		e.Must(t, "run", "-d", "--name", name, "busybox", "sh", "-c", script)
		harness.Eventually(t, name+" to write", func() error {
			if e.Must(t, "logs", name) != "done" {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		e.Must(t, "commit", name, "image-of-"+flavor)
		e.Must(t, "create", "--name", "created-"+flavor, "busybox", "true")
		e.Must(t, "stop", "-t", "0", name)
		made[name] = flavor
	}
	populate("stock")
	e.SwitchTo(t, stack.Fork)
	check(t, e, made)
	populate("fork")
	e.Must(t, "commit", "of-stock", "stock-committed-by-fork")
	e.SwitchTo(t, stack.Stock)
	check(t, e, made)
	if got := e.Must(t, "run", "--rm", "stock-committed-by-fork", "cat", "/data"); got != "data of stock" {
		t.Errorf("under stock the fork's image of stock's container holds %q", got)
	}
	e.Must(t, "rm", "created-fork", "created-stock")
	e.SwitchTo(t, stack.Fork)
	// Stock stacks the snapshot of an image on the container's init layer, and
	// so keeps that; ours must go.
	kept := e.Inspect(t, "of-stock", "{{.Id}}") + "-init"
	e.Must(t, "rm", "-f", "of-stock", "of-fork")

	// Stock's leases and ours are alike, so nothing of the containers stays.
	after := e.State(t)
	if len(after.Leases) > 0 || len(after.Mounts) > 0 {
		t.Errorf("without containers there are leases %v and mounts %v", after.Leases, after.Mounts)
	}
	for _, s := range after.Snapshots {
		if !strings.HasPrefix(s, "sha256:") && s != kept {
			t.Errorf("without containers there is snapshot %s", s)
		}
	}
}

// check uses every container that was made so far in every way.
func check(t *testing.T, e *harness.Env, made map[string]string) {
	t.Helper()
	for name, flavor := range made {
		want := "data of " + flavor
		if got := e.Must(t, "diff", name); !strings.Contains(got, "A /data") || !strings.Contains(got, "D /etc/group") || strings.Contains(got, ".dockerenv") {
			t.Errorf("docker diff %s prints\n%s", name, got)
		}
		e.Must(t, "start", name)
		if got := e.Must(t, "exec", name, "cat", "/data"); got != want {
			t.Errorf("%s holds %q", name, got)
		}
		e.Must(t, "exec", name, "sh", "-c", "echo more >> /more")
		if size := e.Must(t, "ps", "-s", "--format", "{{.Size}}", "-f", "name="+name); !strings.Contains(size, "virtual") {
			t.Errorf("%s has size %q", name, size)
		}
		e.Must(t, "stop", "-t", "0", name)
		if got := e.Must(t, "run", "--rm", "image-of-"+flavor, "sh", "-c", "cat /data; ls /etc/group 2>&1 || true"); !strings.HasPrefix(got, want+"\n") || !strings.Contains(got, "No such file") {
			t.Errorf("the image of %s holds %q", name, got)
		}
		e.Must(t, "start", "-a", "created-"+flavor)
	}
}
