package integration_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

const (
	// makeHole makes a file of 8 TiB that takes no space: to digest it takes hours.
	makeHole = "truncate -s 8796093022208 /hole"
	// atOnce is what a test waits at most for what takes seconds. What must not be
	// done would take many times that.
	atOnce = 60 * time.Second
)

// within runs docker, and ends it if it takes too long.
func (e *env) within(t *testing.T, limit time.Duration, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := output(e.Docker(ctx, args...))
	if ctx.Err() != nil {
		t.Fatalf("docker %s has not ended after %v: %s", strings.Join(args, " "), limit, out)
	}
	return out, err
}

// TestLargeHolesAreRefused: a layer of more than a TiB is refused before it is made,
// with the file and how to allow it; nothing is left.
func TestLargeHolesAreRefused(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "echo small > /small")
	e.docker(t, "baleen", "snapshot", id)
	hole := e.run(t, "busybox", makeHole)
	before := e.state(t)
	for _, args := range [][]string{
		{"commit", hole},
		{"baleen", "checkpoint", "--no-process", hole},
	} {
		out, err := e.within(t, atOnce, args...)
		if err == nil || !strings.Contains(out, `"hole": a file of 8796093022208 bytes`) || !strings.Contains(out, "baleen.max-layer-size") {
			t.Errorf("docker %s: %v, %s", args[0], err, out)
		}
		e.settled(t, before)
	}
	// In a layer that is sealed already, which is packed where it lies.
	e.docker(t, "stop", "-t", "1", hole)
	e.docker(t, "baleen", "snapshot", hole)
	before = e.state(t)
	out, err := e.within(t, atOnce, "baleen", "checkpoint", hole)
	if err == nil || !strings.Contains(out, `"hole": a file of`) || !strings.Contains(out, "baleen.max-layer-size") {
		t.Errorf("checkpoint of a sealed layer: %v, %s", err, out)
	}
	e.settled(t, before)
}

// TestCommitsDoNotWaitForEachOther: with more allowed, two commits of holes go on for
// hours. Another one is done meanwhile, and they end with their requests.
func TestCommitsDoNotWaitForEachOther(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"storage-opts": []string{"baleen.max-layer-size=16TiB"}}}, "busybox")
	holes := []string{e.run(t, "busybox", makeHole), e.run(t, "busybox", makeHole)}
	other := e.run(t, "busybox", "dd if=/dev/urandom of=/file bs=1M count=8 2>/dev/null")
	want := e.docker(t, "exec", other, "md5sum", "/file")
	before := e.state(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, len(holes))
	for _, id := range holes {
		go func() {
			out, err := output(e.Docker(ctx, "commit", id))
			ended <- fmt.Errorf("%w: %s", err, out)
		}()
	}
	e.eventually(t, "both layers to be packed", func() error { return e.packing(t, len(holes)) })

	if log := e.LogTail(stack.Dockerd, 200); strings.Count(log, "bytes=8796093022208") != len(holes) {
		t.Errorf("the log does not warn of both layers:\n%s", log)
	}
	image, err := e.within(t, atOnce, "commit", other)
	if err != nil {
		t.Fatalf("commit: %v: %s", err, image)
	}
	if err := e.packing(t, len(holes)); err != nil || len(ended) > 0 {
		t.Errorf("%d of the large commits have ended; %v", len(ended), err)
	}
	if got := e.docker(t, "run", "--rm", image, "md5sum", "/file"); got != want {
		t.Errorf("the image holds %s, want %s", got, want)
	}
	e.docker(t, "rmi", image)

	cancel()
	for range holes {
		t.Logf("a large commit ended: %v", <-ended)
	}
	e.settledBut(t, "the large commits were cancelled", before)
}

// packing fails if fewer layers are being written.
func (e *env) packing(t *testing.T, want int) error {
	t.Helper()
	ingests, err := e.client.ContentStore().ListStatuses(e.ctx(t))
	if err != nil {
		return err
	}
	got := 0
	for _, i := range ingests {
		if i.Offset > 0 {
			got++
		}
	}
	if got < want {
		return fmt.Errorf("%d layers are being written", got)
	}
	return nil
}
