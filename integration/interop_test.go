package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestMoveBetweenStockAndFork takes one data root from stock to the fork and
// back: whoever tries us must be able to leave again.
func TestMoveBetweenStockAndFork(t *testing.T) {
	e := newEnv(t, stack.Config{Flavor: stack.Stock}, "busybox")

	made := map[string]string{} // container name to the flavor that made it
	populate := func(flavor string) {
		name := "of-" + flavor
		script := "echo data of " + flavor + " > /data; rm /etc/group; echo done; sleep 1000"
		e.docker(t, "run", "-d", "--name", name, "busybox", "sh", "-c", script)
		e.eventually(t, name+" to write", func() error {
			if e.docker(t, "logs", name) != "done" {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		e.docker(t, "commit", name, "image-of-"+flavor)
		e.docker(t, "create", "--name", "created-"+flavor, "busybox", "true")
		e.docker(t, "stop", "-t", "0", name)
		made[name] = flavor
	}
	populate("stock")
	e.becomes(t, stack.Fork)
	e.check(t, made)
	populate("fork")
	e.docker(t, "commit", "of-stock", "stock-committed-by-fork")
	e.becomes(t, stack.Stock)
	e.check(t, made)
	if got := e.docker(t, "run", "--rm", "stock-committed-by-fork", "cat", "/data"); got != "data of stock" {
		t.Errorf("under stock the fork's image of stock's container holds %q", got)
	}
	e.docker(t, "rm", "created-fork", "created-stock")
	e.becomes(t, stack.Fork)
	// Stock stacks the snapshot of an image on the container's init layer, and
	// so keeps that; ours must go.
	kept := e.inspect(t, "of-stock", "{{.Id}}") + "-init"
	e.docker(t, "rm", "-f", "of-stock", "of-fork")

	// Stock's leases and ours are alike, so nothing of the containers stays.
	after := e.state(t)
	if len(after.leases) > 0 || len(after.mounts) > 0 {
		t.Errorf("without containers there are leases %v and mounts %v", after.leases, after.mounts)
	}
	for _, s := range after.snapshots {
		if !strings.HasPrefix(s, "sha256:") && s != kept {
			t.Errorf("without containers there is snapshot %s", s)
		}
	}
}

// becomes ends the daemon and starts the other one on its data.
func (e *env) becomes(t *testing.T, flavor stack.Flavor) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), flavor); err != nil {
		t.Fatal(err)
	}
	version := e.docker(t, "version", "-f", "{{.Server.Version}}")
	if got := strings.Contains(version, "baleen"); got != (flavor == stack.Fork) {
		t.Fatalf("the server's version is %s, not that of %s", version, flavor)
	}
}

// check uses every container that was made so far in every way.
func (e *env) check(t *testing.T, made map[string]string) {
	t.Helper()
	for name, flavor := range made {
		want := "data of " + flavor
		if got := e.docker(t, "diff", name); !strings.Contains(got, "A /data") || !strings.Contains(got, "D /etc/group") || strings.Contains(got, ".dockerenv") {
			t.Errorf("docker diff %s prints\n%s", name, got)
		}
		e.docker(t, "start", name)
		if got := e.docker(t, "exec", name, "cat", "/data"); got != want {
			t.Errorf("%s holds %q", name, got)
		}
		e.docker(t, "exec", name, "sh", "-c", "echo more >> /more")
		if size := e.docker(t, "ps", "-s", "--format", "{{.Size}}", "-f", "name="+name); !strings.Contains(size, "virtual") {
			t.Errorf("%s has size %q", name, size)
		}
		e.docker(t, "stop", "-t", "0", name)
		if got := e.docker(t, "run", "--rm", "image-of-"+flavor, "sh", "-c", "cat /data; ls /etc/group 2>&1 || true"); !strings.HasPrefix(got, want+"\n") || !strings.Contains(got, "No such file") {
			t.Errorf("the image of %s holds %q", name, got)
		}
		e.docker(t, "start", "-a", "created-"+flavor)
	}
}
