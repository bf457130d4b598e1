package revisions_test

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestSnapshotWhileOthersRead makes snapshots and commits of a stopped container
// that is copied from meanwhile: docker cp mounts its root, and makes and removes
// a folder there.
func TestSnapshotWhileOthersRead(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "mkdir /d; for i in $(seq 300); do echo $i > /d/$i; done; echo mine > /file")
	defer e.Remove(t, id)
	e.Must(t, "stop", "-t", "0", id)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers errgroup.Group
	copied := 0
	readers.Go(func() error {
		for ; ctx.Err() == nil; copied++ {
			if out, err := e.Try(t, "cp", id+":/file", "-"); err != nil {
				return fmt.Errorf("docker cp: %w: %s", err, out)
			}
		}
		return nil
	})
	for i := range 20 {
		e.Snapshot(t, id, fmt.Sprint(i))
		if out, err := e.Try(t, "commit", id, "copied"); err != nil {
			t.Errorf("docker commit: %v: %s", err, out)
		}
	}
	stop()
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
	if copied == 0 {
		t.Error("nothing was copied meanwhile")
	}
	if out := e.Must(t, "diff", id); out == "" {
		t.Error("docker diff prints nothing")
	}
	if got := e.Must(t, "run", "--rm", "copied", "sh", "-c", "cat /file; ls /d | wc -l"); got != "mine\n300" {
		t.Errorf("the image has %q", got)
	}
}
