package commit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// makeHole makes a file of 8 TiB that takes no space: to digest it takes hours.
const makeHole = "truncate -s 8796093022208 /hole"

// TestLargeHolesAreRefused: a layer of more than a TiB is refused before it is made,
// with the file and how to allow it; nothing is left.
func TestLargeHolesAreRefused(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "echo small > /small")
	e.Must(t, "baleen", "snapshot", id)
	hole := e.Run(t, "busybox", makeHole)
	before := e.State(t)
	for _, args := range [][]string{
		{"commit", hole},
		{"baleen", "checkpoint", "--no-process", hole},
	} {
		out, err := e.TryWithin(t, harness.AtOnce, args...)
		if err == nil || !strings.Contains(out, `"hole": a file of 8796093022208 bytes`) || !strings.Contains(out, "baleen.max-layer-size") {
			t.Errorf("docker %s: %v, %s", args[0], err, out)
		}
		e.Settled(t, before)
	}
	// In a layer that is sealed already, which is packed where it lies.
	e.Must(t, "stop", "-t", "1", hole)
	e.Must(t, "baleen", "snapshot", hole)
	before = e.State(t)
	out, err := e.TryWithin(t, harness.AtOnce, "baleen", "checkpoint", hole)
	if err == nil || !strings.Contains(out, `"hole": a file of`) || !strings.Contains(out, "baleen.max-layer-size") {
		t.Errorf("checkpoint of a sealed layer: %v, %s", err, out)
	}
	e.Settled(t, before)
}

// TestCommitsDoNotWaitForEachOther: with more allowed, two commits of holes go on for
// hours. Another one is done meanwhile, and they end with their requests.
func TestCommitsDoNotWaitForEachOther(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"storage-opts": []string{"baleen.max-layer-size=16TiB"}}}, "busybox")
	holes := []string{e.Run(t, "busybox", makeHole), e.Run(t, "busybox", makeHole)}
	other := e.Run(t, "busybox", "dd if=/dev/urandom of=/file bs=1M count=8 2>/dev/null")
	want := e.Must(t, "exec", other, "md5sum", "/file")
	before := e.State(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, len(holes))
	for _, id := range holes {
		go func() {
			out, err := harness.Output(e.Docker(ctx, "commit", id))
			ended <- fmt.Errorf("%w: %s", err, out)
		}()
	}
	harness.Eventually(t, "both layers to be packed", func() error { return packing(t, e, len(holes)) })

	if log := e.LogTail(stack.Dockerd, 200); strings.Count(log, "bytes=8796093022208") != len(holes) {
		t.Errorf("the log does not warn of both layers:\n%s", log)
	}
	image, err := e.TryWithin(t, harness.AtOnce, "commit", other)
	if err != nil {
		t.Fatalf("commit: %v: %s", err, image)
	}
	if err := packing(t, e, len(holes)); err != nil || len(ended) > 0 {
		t.Errorf("%d of the large commits have ended; %v", len(ended), err)
	}
	if got := e.Must(t, "run", "--rm", image, "md5sum", "/file"); got != want {
		t.Errorf("the image holds %s, want %s", got, want)
	}
	e.Must(t, "rmi", image)

	cancel()
	for range holes {
		t.Logf("a large commit ended: %v", <-ended)
	}
	e.SettledBut(t, "the large commits were cancelled", before)
}

// packing fails if fewer layers are being written: files of dockerd in containerd's folder
// of blobs that have no name yet.
func packing(t *testing.T, e *harness.Env, want int) error {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", e.Pid(stack.Dockerd))
	open, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	got := 0
	for _, fd := range open {
		path := filepath.Join(folder, fd.Name())
		target, err := os.Readlink(path)
		if err != nil || !strings.Contains(target, "/blobs/sha256/") || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			got++
		}
	}
	if got < want {
		return fmt.Errorf("%d layers are being written", got)
	}
	return nil
}
