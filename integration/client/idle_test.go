package client_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientOptionsSealNothingInUse: what a container of containerd's client has
// left is not sealed while it is mounted, or a program runs on it.
func TestClientOptionsSealNothingInUse(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	e := newPlainEnv(t, s.ContainerdAddress(), "in.use", "overlayfs")
	config := ocispec.ImageConfig{Env: []string{"PATH=/bin"}, Entrypoint: []string{"sh", "-c"}, Cmd: []string{"while :; do echo more >> /log; done"}}
	one := e.imageOn(t, "example/writer:1", e.busybox(t, s), config)
	two := e.imageOn(t, "example/writer:2", one, config, files{"version": "2"})

	k := e.create(t, "mounted", one)
	root := t.TempDir()
	sn := e.client.SnapshotService(e.snapshotter)
	mounts, err := sn.Mounts(k.ctx, k.snapshot(t).Name)
	if err == nil {
		err = mount.All(mounts, root)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer mount.UnmountAll(root, unix.MNT_DETACH) //nolint:errcheck // only if the test ends before
	harness.WriteFile(t, filepath.Join(root, "file"), "before")
	k.upgrade(t, two)
	if err := k.Update(k.ctx, clientopts.WithRollback()); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), root) {
		t.Errorf("a move of what is mounted gave %v", err)
	}
	harness.WriteFile(t, filepath.Join(root, "file"), "after")
	if err := mount.UnmountAll(root, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	k.rollback(t)
	k.do(t, func(root string) {
		if text, err := os.ReadFile(filepath.Join(root, "file")); err != nil || string(text) != "after" {
			t.Errorf("the file has %q, %v", text, err)
		}
	})
	runsOnWhatIsLeft(t, e, one, two)
}

// runsOnWhatIsLeft: a program that begins between the move and its record runs on what is
// left.
func runsOnWhatIsLeft(t *testing.T, e *plainEnv, one, two containerd.Image) {
	t.Helper()
	sn := e.client.SnapshotService(e.snapshotter)
	k := e.create(t, "runs", one)
	left := k.snapshot(t).Name
	var task containerd.Task
	err := k.Update(k.ctx, clientopts.WithUpgrade(two), func(ctx context.Context, _ *containerd.Client, _ *containers.Container) (err error) {
		if task, err = k.NewTask(ctx, cio.NullIO); err == nil {
			err = task.Start(ctx)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := task.Delete(k.ctx, containerd.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}()
	if err := clientopts.Discard(k.ctx, k.client, k.ID()); err != nil {
		t.Error(err)
	}
	if _, err := sn.Mounts(k.ctx, left); err != nil {
		t.Errorf("what a program runs on was sealed: %v", err)
	}
	if _, err := task.Delete(k.ctx, containerd.WithProcessKill); err != nil {
		t.Fatal(err)
	}
	if err := clientopts.Discard(k.ctx, k.client, k.ID()); err != nil {
		t.Error(err)
	}
	if _, err := sn.Mounts(k.ctx, left); !errdefs.IsNotFound(err) {
		t.Errorf("what was left was not sealed: %v", err)
	}
}
