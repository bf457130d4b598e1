package proxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestProxyKilledInCommit kills baleen-containerd while it writes a layer. The
// commit fails and says why, the container goes on, and what was half written is
// gone after the next commit.
func TestProxyKilledInCommit(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, StorageDriver: "baleen", Proxy: true, DifferForAll: true}, "busybox")
	before := e.SnapshotsOf(t, "moby", "baleen")
	id := e.Run(t, "busybox", "head -c 300000000 /dev/urandom > /data; md5sum /data > /sum")
	commit := e.Docker(t.Context(), "commit", id)
	var said strings.Builder
	commit.Stdout, commit.Stderr = &said, &said
	if err := commit.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the layer to be written", func() error {
		for _, ref := range ingests(t, e) {
			if strings.HasPrefix(ref, "baleen-diff-") {
				return nil
			}
		}
		return errors.New("there is no ingest")
	})
	if err := e.KillProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := commit.Wait(); err == nil || !strings.Contains(said.String(), "navailable") && !strings.Contains(said.String(), "EOF") {
		t.Errorf("the commit ended with %v and says %s", err, said.String())
	}
	if got := e.Inspect(t, id, "{{.State.Status}}"); got != "running" {
		t.Errorf("the container is %s", got)
	}
	if err := e.StartProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a second commit", func() error {
		out, err := e.Try(t, "commit", id, "second")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if got := e.Must(t, "run", "--rm", "second", "md5sum", "-c", "/sum"); got != "/data: OK" {
		t.Errorf("the second image's data: %s", got)
	}
	keepsLayers(t, e)
	e.Must(t, "rm", "-f", id)
	e.Must(t, "rmi", "second")
	harness.Eventually(t, "ingests and snapshots to go", func() error {
		if left, after := ingests(t, e), e.SnapshotsOf(t, "moby", "baleen"); len(left) > 0 || fmt.Sprint(before) != fmt.Sprint(after) {
			return fmt.Errorf("ingests %v, snapshots before %v, after %v", left, before, after)
		}
		return nil
	})
}

// ingests are the references of what is being written into the content store.
func ingests(t *testing.T, e *harness.Env) (refs []string) {
	t.Helper()
	found, err := e.Client.ContentStore().ListStatuses(e.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range found {
		refs = append(refs, i.Ref)
	}
	return refs
}
