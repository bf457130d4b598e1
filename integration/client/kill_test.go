package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/containerstore/lease"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// killAt is how many calls a move makes, about: the last that is worth killing at.
const killAt = 40

// TestClientOptionsSurviveContainerd kills containerd at a call of a move: before
// it, or while it goes on. When it has started again, the container is what it
// was or what it was to become, and what a move left that did not come about
// goes.
func TestClientOptionsSurviveContainerd(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	if err := s.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := newPlainEnv(t, s.ContainerdAddress(), "killed", "overlayfs")
	one, two, three := e.plainImages(t)
	for _, image := range []containerd.Image{one, two, three} {
		if err := image.Unpack(e.ctx, e.snapshotter); err != nil {
			t.Fatal(err)
		}
	}
	k := e.create(t, "killed.1", one)
	k.write(t, "data", "1")
	k.upgrade(t, two)
	k.write(t, "data", "2")
	moves := []plainMove{
		{clientopts.WithRollback(), files{"etc/both": "image", "etc/new": "two", "etc/same": "same", "data": "2"}},
		{clientopts.WithUpgrade(three), files{"etc/both": "three", "data": "2"}},
	}
	k.killedOften(t, s, harness.KillRounds(t), moves, func() {})
	t.Run("mapped", func(t *testing.T) { killedMapped(t, s, e, one, two, moves) })
	t.Run("checkpoint", func(t *testing.T) { killedCheckpoint(t, s, e, k) })
	t.Run("restore", func(t *testing.T) { killedRestore(t, s, e, k) })
}

// killedOften makes two moves in turns, and kills containerd in each.
func (k *plainCtr) killedOften(t *testing.T, s *stack.Stack, rounds int, moves []plainMove, check func()) {
	t.Helper()
	random, became := harness.SeededRand(t), map[bool]int{}
	for round := range rounds {
		is, next := moves[round%2], moves[(round+1)%2]
		n, wait := 1+random.Int64N(killAt), time.Duration(random.Int64N(int64(4*time.Millisecond)))
		became[k.killed(t, s, n, wait, is, next)]++
		check()
		if t.Failed() {
			t.Fatalf("containerd was killed %v after call %d", wait, n)
		}
	}
	t.Logf("%d moves in which containerd was killed: %d came about, %d did not", rounds, became[true], became[false])
}

// killedMapped moves a container whose layers are mapped when they are mounted: what it
// wrote keeps its owner.
func killedMapped(t *testing.T, s *stack.Stack, e *plainEnv, one, two containerd.Image, moves []plainMove) {
	r := &remapped{plainEnv: e, image: one, shift: 100000}
	k := r.movable(t)
	put := func(text string) {
		k.do(t, func(root string) {
			r.put(t, root, "data", 0o644, 5, 6)
			if err := os.WriteFile(filepath.Join(root, "data"), []byte(text), 0); err != nil {
				t.Fatal(err)
			}
		})
	}
	put("1")
	k.upgrade(t, two)
	put("2")
	for _, m := range []plainMove{moves[1], moves[0]} { // its first snapshot gets another name when it is sealed
		if err := k.Update(k.ctx, m.option); err != nil {
			t.Fatal(err)
		}
	}
	k.killedOften(t, s, harness.KillRounds(t)/2, moves, func() {
		k.do(t, func(root string) { r.owned(t, root, "data", 5, 6); r.owned(t, root, "etc/both", 0, 0) })
	})
}

// killedCheckpoint kills containerd while a checkpoint is written: there is a whole one
// then, or nothing.
func killedCheckpoint(t *testing.T, s *stack.Stack, e *plainEnv, k *plainCtr) {
	random := harness.SeededRand(t)
	for range harness.KillRounds(t) / 2 {
		n, wait := 1+random.Int64N(killAt), time.Duration(random.Int64N(int64(4*time.Millisecond)))
		before := k.leftWhole(t)
		failed := killedIn(t, s, n, wait, func(client *containerd.Client) error {
			_, err := clientopts.Checkpoint(e.ctx, client, k.ID(), "example/killed")
			return errors.Join(err, client.Close())
		})
		harness.Eventually(t, "containerd to discard what the checkpoint has left", func() error {
			return clientopts.Discard(e.ctx, e.client, k.ID())
		})
		made, err := e.client.GetImage(e.ctx, "example/killed")
		if err == nil {
			k.collect(t)
			if _, err := checkpoint.Read(e.ctx, e.client.ContentStore(), made.Target()); err != nil {
				t.Errorf("a checkpoint that was cut by call %d: %v", n, err)
			}
			err = e.client.ImageService().Delete(e.ctx, made.Name(), images.SynchronousDelete())
		} else if failed == nil {
			t.Errorf("the checkpoint was said to be made, and is not: %v", err)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
		if after := k.leftWhole(t); !slices.Equal(before, after) {
			t.Fatalf("killed %v after call %d there was %v, and is %v", wait, n, before, after)
		}
	}
}

// killedRestore kills containerd while a container is made of a checkpoint: the container
// is whole then, or there is none, and the next attempt makes it.
func killedRestore(t *testing.T, s *stack.Stack, e *plainEnv, k *plainCtr) {
	const id = "restored.1"
	want := k.has(t)
	k.do(t, func(root string) {
		if err := os.Mkdir(filepath.Join(root, "many"), 0o700); err != nil {
			t.Fatal(err)
		}
		for n := range 200 {
			name := fmt.Sprint("many/", n)
			want[name] = strings.Repeat(name, 1000)
			harness.WriteFile(t, filepath.Join(root, name), want[name])
		}
	})
	saved := k.kept(t, "example/restored")
	random, became := harness.SeededRand(t), map[bool]int{}
	before := k.leftWhole(t)
	for range harness.KillRounds(t) / 2 {
		n, wait := 1+random.Int64N(killAt), time.Duration(random.Int64N(int64(8*time.Millisecond)))
		failed := killedIn(t, s, n, wait, func(client *containerd.Client) error {
			_, err := client.NewContainer(e.ctx, id, containerd.WithSnapshotter(e.snapshotter), clientopts.WithCheckpoint(containerd.NewImage(client, images.Image{Name: saved.Name(), Target: saved.Target()})))
			return errors.Join(err, client.Close())
		})
		var c containerd.Container
		harness.Eventually(t, "containerd to tell whether there is a container", func() (err error) {
			if c, err = e.client.LoadContainer(e.ctx, id); errdefs.IsNotFound(err) {
				err = nil
			}
			return err
		})
		became[c != nil]++
		if c == nil {
			if failed == nil {
				t.Errorf("killed %v after call %d the container was said to be made, and is not", wait, n)
			}
			var err error
			if c, err = e.client.NewContainer(e.ctx, id, containerd.WithSnapshotter(e.snapshotter), clientopts.WithCheckpoint(saved)); err != nil {
				t.Fatalf("restoring again: %v", err)
			}
		}
		r := &plainCtr{e, c}
		r.must(t, want)
		if info, err := c.Info(e.ctx); err != nil || info.Spec == nil || info.Runtime.Name == "" {
			t.Errorf("the container has spec %v and runtime %v: %v", info.Spec, info.Runtime, err)
		}
		if err := clientopts.Discard(e.ctx, e.client, id); err != nil {
			t.Error(err)
		}
		if err := c.Delete(e.ctx, clientopts.WithRevisionCleanup); err != nil {
			t.Fatal(err)
		}
		e.endClientLeases(t)
		if after := k.leftWhole(t); !slices.Equal(before, after) {
			t.Fatalf("killed %v after call %d there was %v, and is %v", wait, n, before, after)
		}
	}
	t.Logf("of %d restores in which containerd was killed %d came about, and %d did not", became[true]+became[false], became[true], became[false])
}

// endClientLeases deletes the leases that containerd's client has made for a new
// container: those that a kill left would end after a day.
func (e *plainEnv) endClientLeases(t *testing.T) {
	t.Helper()
	held, err := e.client.LeasesService().List(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range held {
		if l.Labels[lease.LabelOperation] != "" {
			t.Errorf("lease %s of %s is left", l.ID, l.Labels[lease.LabelOperation])
		}
		if err := e.client.LeasesService().Delete(e.ctx, l, leases.SynchronousDelete); err != nil {
			t.Fatal(err)
		}
	}
}

// killedIn calls do with a client, which do closes, of containerd, which is killed some time after the nth
// call, or in the end, and started again. It returns the error of do.
func killedIn(t *testing.T, s *stack.Stack, n int64, wait time.Duration, do func(*containerd.Client) error) (failed error) {
	t.Helper()
	down := make(chan error, 1)
	kill := func() { down <- s.KillContainerd(context.WithoutCancel(t.Context())) }
	fired := false
	client := counting(t, s, func(call int64) error {
		if call == n {
			fired = true
			time.AfterFunc(wait, kill)
		}
		return nil
	})
	failed = do(client)
	if !fired {
		kill()
	}
	if err := errors.Join(<-down, s.StartContainerd(t.Context())); err != nil {
		t.Fatal(err)
	}
	return failed
}

// plainMove is a move, and what it makes of a container.
type plainMove struct {
	option containerd.UpdateContainerOpts
	gives  files
}

// killed makes a move, and kills containerd some time after the nth call. The
// container has moved in the end; whether without a second time is returned.
func (k *plainCtr) killed(t *testing.T, s *stack.Stack, n int64, wait time.Duration, is, next plainMove) (moved bool) {
	t.Helper()
	before := k.leftWhole(t)
	failed := killedIn(t, s, n, wait, func(client *containerd.Client) error { return k.moveWith(t, client, next.option) })
	harness.Eventually(t, "containerd to discard what the move has left", func() error {
		return clientopts.Discard(k.ctx, k.client, k.ID())
	})
	has := k.has(t)
	if maps.Equal(has, next.gives) {
		return true
	}
	if failed == nil {
		t.Errorf("the move was said to be done")
	}
	if !maps.Equal(has, is.gives) {
		t.Fatalf("the container has %v, neither %v nor %v; the move said: %v", has, is.gives, next.gives, failed)
	}
	if after := k.leftWhole(t); !slices.Equal(before, after) {
		t.Errorf("there was %v, and is %v", before, after)
	}
	if err := k.Update(k.ctx, next.option); err != nil {
		t.Fatalf("moving again: %v", err)
	}
	k.must(t, next.gives)
	return false
}

// leftWhole is left without ingests: those that were cut off containerd removes
// itself, after a day.
func (k *plainCtr) leftWhole(t *testing.T) []string {
	t.Helper()
	k.collect(t)
	return slices.DeleteFunc(k.left(t), func(l string) bool { return strings.HasPrefix(l, "ingest ") })
}
