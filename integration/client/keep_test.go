package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientKeeps makes checkpoints of containers that only containerd knows of, and
// containers of those, by containerd's client and by Docker.
func TestClientKeeps(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	for _, sn := range []string{"overlayfs", "native"} {
		plain := newPlainEnv(t, e.ContainerdAddress(), "keeps-"+sn, sn)
		t.Run(sn+"/files", func(t *testing.T) { keepsFiles(t, plain) })
		t.Run(sn+"/refused", func(t *testing.T) { keepsNot(t, plain) })
		t.Run(sn+"/onto a snapshot", func(t *testing.T) { restoresOnto(t, plain) })
		t.Run(sn+"/for Docker", func(t *testing.T) { keepsForDocker(t, e, plain) })
	}
}

// kept is a checkpoint, which is removed after the test.
func (k *plainCtr) kept(t *testing.T, ref string) containerd.Image {
	t.Helper()
	saved, err := clientopts.Checkpoint(k.ctx, k.client, k.ID(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.client.ImageService().Delete(k.ctx, ref, images.SynchronousDelete()); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	})
	return saved
}

// keepsFiles keeps a container that stands on sealed layers, and one that changed
// nothing. They outlive their image and themselves.
func keepsFiles(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "kept", one, "/mine")
	untouched := k.kept(t, "example/untouched")
	k.write(t, "etc/both", "mine")
	k.upgrade(t, two)
	k.rollback(t)
	k.do(t, func(root string) {
		if err := os.Remove(filepath.Join(root, "etc/gone")); err != nil {
			t.Fatal(err)
		}
	})
	k.write(t, "data", "1")
	want := files{"etc/both": "mine", "etc/same": "same", "data": "1"}
	saved := k.kept(t, "example/kept")
	k.must(t, want)
	if err := k.Delete(k.ctx, clientopts.WithRevisionCleanup); err != nil {
		t.Fatal(err)
	}
	e.nothingOf(t, "kept")
	defer e.putBack(t, one.Name())()
	e.collect(t)
	for image, want := range map[containerd.Image]files{saved: want, untouched: {"etc/both": "old", "etc/gone": "old", "etc/same": "same"}} {
		c, err := e.client.NewContainer(e.ctx, "again", containerd.WithSnapshotter(e.snapshotter), clientopts.WithCheckpoint(image))
		if err != nil {
			t.Fatal(err)
		}
		r := &plainCtr{e, c}
		r.must(t, want)
		r.imageIs(t, one.Name())
		if spec, err := r.Spec(r.ctx); err != nil || strings.Join(spec.Process.Args, " ") != "/mine" {
			t.Errorf("the spec is %+v: %v", spec, err)
		}
		if err := c.Delete(e.ctx, clientopts.WithRevisionCleanup); err != nil {
			t.Fatal(err)
		}
	}
}

// keepsNot makes checkpoints that fail, of which nothing is left.
func keepsNot(t *testing.T, e *plainEnv) {
	one, _, _ := e.plainImages(t)
	k := e.create(t, "not.kept", one)
	k.kept(t, "example/there")
	e.collect(t)
	before := e.left(t)
	if _, err := clientopts.Checkpoint(e.ctx, e.client, k.ID(), "example/there"); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a checkpoint of a name that exists gave %v", err)
	}
	if _, err := clientopts.Checkpoint(e.ctx, e.client, "nobody", "example/nobody"); !errdefs.IsNotFound(err) {
		t.Errorf("a checkpoint of no container gave %v", err)
	}
	e.sameLeft(t, before)
}

// rooted has containerd keep a snapshot that no container has.
var rooted = snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "2026-11-28T00:00:00Z"})

// restoresOnto restores a checkpoint onto a snapshot with files: also of directories
// that were renamed there, of which an overlay keeps where they were.
func restoresOnto(t *testing.T, e *plainEnv) {
	one := e.image(t, "example/dirs:1", ocispec.ImageConfig{}, files{
		"old/": "", "old/deep/": "", "old/deep/file": "image", "old/gone": "image", "stays": "image", "both": "image"})
	k := e.create(t, "onto", one)
	k.write(t, "both", "kept")
	k.do(t, func(root string) {
		if err := os.MkdirAll(filepath.Join(root, "new/deep"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(root, "old")); err != nil {
			t.Fatal(err)
		}
	})
	k.write(t, "new/deep/kept", "kept")
	saved := k.kept(t, "example/onto")
	sn, key := e.client.SnapshotService(e.snapshotter), "onto-another"
	chain := k.snapshot(t).Parent
	mounts, err := sn.Prepare(e.ctx, key, chain, rooted)
	if err != nil {
		t.Fatal(err)
	}
	if mounts[0].Type == "overlay" {
		mounts[0].Options = append(mounts[0].Options, "redirect_dir=on")
	}
	err = mount.WithTempMount(e.ctx, mounts, func(root string) error {
		return errors.Join(os.Rename(filepath.Join(root, "old"), filepath.Join(root, "new")),
			os.WriteFile(filepath.Join(root, "mine"), []byte("mine"), 0o644))
	})
	if err != nil {
		t.Fatal(err)
	}
	if dir := changes.WrittenDir(mounts); mounts[0].Type == "overlay" {
		value := make([]byte, 16)
		if n, err := unix.Getxattr(filepath.Join(dir, "new"), "trusted.overlay.redirect", value); err != nil || n == 0 {
			t.Fatalf("the renamed directory has no redirect: %v", err)
		}
	}
	c, err := e.client.NewContainer(e.ctx, "onto-it", containerd.WithSnapshotter(e.snapshotter), containerd.WithSnapshot(key), clientopts.WithCheckpoint(saved))
	if err != nil {
		t.Fatal(err)
	}
	r := &plainCtr{e, c}
	r.must(t, files{"new/deep/file": "image", "new/deep/kept": "kept", "new/gone": "image", "mine": "mine", "stays": "image", "both": "kept"})
	if err := c.Delete(e.ctx, containerd.WithSnapshotCleanup); err != nil {
		t.Fatal(err)
	}
	other, err := sn.Prepare(e.ctx, "on-nothing", "", rooted)
	if err != nil || len(other) == 0 {
		t.Fatal(err)
	}
	_, err = e.client.NewContainer(e.ctx, "wrong", containerd.WithSnapshotter(e.snapshotter), containerd.WithSnapshot("on-nothing"), clientopts.WithCheckpoint(saved))
	if !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a snapshot on another image gave %v", err)
	}
	if err := sn.Remove(e.ctx, "on-nothing"); err != nil {
		t.Error(err)
	}
}

// keepsForDocker keeps a running container, which Docker makes again from an archive.
func keepsForDocker(t *testing.T, docker *harness.Env, e *plainEnv) {
	tar := filepath.Join(t.TempDir(), "busybox.tar")
	docker.Must(t, "save", "-o", tar, "busybox")
	image := e.imported(t, tar)
	c, err := e.client.NewContainer(e.ctx, "runs", containerd.WithSnapshotter(e.snapshotter), clientopts.WithNewSnapshot(image),
		containerd.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs("sh", "-c", "echo $NAME > /begun; exec sleep 1000"), oci.WithEnv([]string{"NAME=mine"})))
	if err != nil {
		t.Fatal(err)
	}
	k := &plainCtr{e, c}
	k.start(t)
	harness.Eventually(t, "the container to begin", func() error { return k.seen(t, "begun") })
	ref := "docker.io/library/plain:" + e.snapshotter
	saved := k.kept(t, ref)
	task, err := c.Task(e.ctx, cio.Load)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := task.Status(e.ctx); err != nil || status.Status != containerd.Running {
		t.Errorf("after the checkpoint its task is %v: %v", status.Status, err)
	}
	k.keepsStill(t, docker.Stack)
	if e.snapshotter == "overlayfs" { // the calls are the same on all
		k.keepDies(t, docker.Stack)
	}
	if read, err := checkpoint.Read(e.ctx, e.client.ContentStore(), saved.Target()); err != nil || len(read.Own) != 1 || read.Kind() != checkpoint.KindFiles {
		t.Errorf("the checkpoint is %+v: %v", read, err)
	}
	out := filepath.Join(t.TempDir(), "plain.tar")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.client.Export(e.ctx, f, archive.WithImage(e.client.ImageService(), ref)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	docker.Must(t, "load", "-i", out)
	id := docker.Restore(t, ref, "--name", "plain-"+e.snapshotter)
	if got := docker.Must(t, "exec", id, "sh", "-c", "cat /begun; echo $NAME; cat /proc/1/cmdline"); !strings.HasPrefix(got, "mine\nmine\nsleep") {
		t.Errorf("in the container of Docker there is %q", got)
	}
	docker.Must(t, "rmi", ref)
}

// seen reads a file of the running container in its snapshot.
func (k *plainCtr) seen(t *testing.T, name string) error {
	t.Helper()
	_, err := os.Stat(filepath.Join(changes.WrittenDir(k.mounts(t)), name))
	return err
}
