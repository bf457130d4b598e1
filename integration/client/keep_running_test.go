package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// status is that of the container's task.
func (k *plainCtr) status(t *testing.T) containerd.ProcessStatus {
	t.Helper()
	task, err := k.Task(k.ctx, cio.Load)
	if err != nil {
		t.Fatal(err)
	}
	status, err := task.Status(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return status.Status
}

// keepsStill lets a running container go on for a moment while a checkpoint reads it, and
// makes another checkpoint of it then.
func (k *plainCtr) keepsStill(t *testing.T, s *stack.Stack) {
	t.Helper()
	before := k.leftWhole(t)
	var second error
	met := 0
	client := counting(t, s, func(int64) error {
		if met > 0 || k.status(t) != containerd.Paused {
			return nil
		}
		met++
		_, second = clientopts.Checkpoint(k.ctx, k.client, k.ID(), "example/second")
		task, err := k.Task(k.ctx, cio.Load)
		if err != nil {
			return err
		}
		return errors.Join(task.Resume(k.ctx), task.Pause(k.ctx))
	})
	_, err := clientopts.Checkpoint(k.ctx, client, k.ID(), "example/moved")
	if !errdefs.IsConflict(err) || met != 1 {
		t.Errorf("a checkpoint of a container that went on for a moment gave %v", err)
	}
	if !errdefs.IsConflict(second) {
		t.Errorf("a second checkpoint at the same time gave %v", second)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if is := k.status(t); is != containerd.Running {
		t.Errorf("its task is %v", is)
	}
	if after := k.leftWhole(t); !slices.Equal(before, after) {
		t.Errorf("there was %v, and is %v", before, after)
	}
}

// keepDies cuts a checkpoint of a running container off before each of its calls, as if
// its process had been killed. The container may be paused then, and can be resumed.
func (k *plainCtr) keepDies(t *testing.T, s *stack.Stack) {
	t.Helper()
	before, paused := k.leftWhole(t), 0
	for n := range int64(harness.MostCalls) {
		client := mortal(t, s, n)
		ctx, end := context.WithCancel(k.ctx)
		made, err := clientopts.Checkpoint(ctx, client, k.ID(), "example/dies")
		end()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err == nil {
			t.Logf("cut before each of %d calls, %d times while it was paused", n, paused)
			if paused == 0 {
				t.Error("it was never paused")
			}
			if err := k.client.ImageService().Delete(k.ctx, made.Name(), images.SynchronousDelete()); err != nil {
				t.Error(err)
			}
			return
		}
		if k.status(t) == containerd.Paused {
			paused++
			if _, err := clientopts.Checkpoint(k.ctx, k.client, k.ID(), "example/early"); !errdefs.IsConflict(err) {
				t.Errorf("after %d calls another checkpoint gave %v", n, err)
			}
			if err := clientopts.Thaw(k.ctx, k.client, k.ID()); err != nil {
				t.Errorf("after %d calls: %v", n, err)
			}
		}
		if is := k.status(t); is != containerd.Running {
			t.Fatalf("after %d calls its task is %v", n, is)
		}
		if err := clientopts.Discard(k.ctx, k.client, k.ID()); err != nil {
			t.Errorf("after %d calls: %v", n, err)
		}
		err = k.client.ImageService().Delete(k.ctx, "example/dies", images.SynchronousDelete())
		if err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
		if after := k.leftWhole(t); !slices.Equal(before, after) {
			t.Fatalf("after %d calls there was %v, and is %v", n, before, after)
		}
	}
	t.Errorf("a checkpoint makes more than %d calls", harness.MostCalls)
}
