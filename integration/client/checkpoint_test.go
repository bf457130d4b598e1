package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientCheckpoint makes containers that only containerd knows of from
// checkpoints of containerd's and of ours.
func TestClientCheckpoint(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	for _, sn := range []string{"overlayfs", "native"} {
		plain := newPlainEnv(t, e.ContainerdAddress(), "checkpoints-"+sn, sn)
		t.Run(sn+"/containerd's", func(t *testing.T) { restoresContainerds(t, plain) })
		t.Run(sn+"/ours", func(t *testing.T) { restoresOurs(t, e, plain) })
	}
}

// restored makes a container of a checkpoint, and deletes it after the test.
func (e *plainEnv) restored(t *testing.T, id string, checkpoint containerd.Image) *plainCtr {
	t.Helper()
	c, err := e.client.NewContainer(e.ctx, id, containerd.WithSnapshotter(e.snapshotter),
		clientopts.WithCheckpoint(checkpoint), containerd.WithNewSpec(oci.WithProcessArgs("/x")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(e.ctx, clientopts.WithRevisionCleanup); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
		e.nothingOf(t, id)
	})
	return &plainCtr{e, c}
}

func restoresContainerds(t *testing.T, e *plainEnv) {
	one, _, _ := e.plainImages(t)
	k := e.create(t, "of", one)
	k.write(t, "etc/both", "mine")
	k.do(t, func(root string) {
		if err := os.Remove(filepath.Join(root, "etc/gone")); err != nil {
			t.Fatal(err)
		}
	})
	want := files{"etc/both": "mine", "etc/same": "same"}
	k.must(t, want)
	whole, err := k.Checkpoint(k.ctx, "example/whole", containerd.WithCheckpointImage, containerd.WithCheckpointRW, containerd.WithCheckpointRuntime)
	if err != nil {
		t.Fatal(err)
	}
	slim, err := k.Checkpoint(k.ctx, "example/slim", containerd.WithCheckpointRW)
	if err != nil {
		t.Fatal(err)
	}
	r := e.restored(t, "again", whole)
	r.must(t, want)
	r.imageIs(t, one.Name())
	r.listed(t, "1<0 "+one.Name()+"*")
	e.restored(t, "slim", slim).must(t, want)

	// Without its image by name only the first has one.
	for _, image := range []string{one.Name(), "example/slim"} {
		defer e.putBack(t, image)()
	}
	e.collect(t)
	e.restored(t, "without", whole).must(t, want)
	if err := e.client.ImageService().Delete(e.ctx, one.Name()); err != nil {
		t.Errorf("the restore did not make the image again: %v", err)
	}
	before := e.left(t)
	_, err = e.client.NewContainer(e.ctx, "none", containerd.WithSnapshotter(e.snapshotter), clientopts.WithCheckpoint(slim))
	var lost *checkpoint.MissingParts
	if !errors.As(err, &lost) || !errdefs.IsNotFound(err) {
		t.Errorf("a checkpoint that is gone: %v", err)
	}
	_, err = e.client.NewContainer(e.ctx, "none", containerd.WithSnapshotter(e.snapshotter), clientopts.WithCheckpoint(one))
	if !errors.Is(err, checkpoint.ErrNotCheckpoint) && !errors.As(err, &lost) {
		t.Errorf("an image that is none: %v", err)
	}
	e.sameLeft(t, before)
	task := &containerd.TaskInfo{}
	if err := clientopts.WithTaskCheckpoint(whole)(e.ctx, e.client, task); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "no processes") {
		t.Errorf("processes of one without: %v", err)
	}
}

// putBack removes an image and returns the function that makes it again.
func (e *plainEnv) putBack(t *testing.T, name string) func() {
	t.Helper()
	store := e.client.ImageService()
	record, err := store.Get(e.ctx, name)
	if err == nil {
		err = store.Delete(e.ctx, name, images.SynchronousDelete())
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := store.Create(e.ctx, images.Image{Name: record.Name, Target: record.Target}); err != nil && !errdefs.IsAlreadyExists(err) {
			t.Log(err) // what it was of is gone
		}
	}
}

func (e *plainEnv) sameLeft(t *testing.T, before []string) {
	t.Helper()
	e.collect(t)
	if after := e.left(t); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("before there was\n%s\nand now\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// imported is the first image of an archive.
func (e *plainEnv) imported(t *testing.T, archive string) containerd.Image {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	imported, err := e.client.Import(e.ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	return containerd.NewImage(e.client, imported[0])
}

// restoresOurs carries a checkpoint of a container of Docker's in an archive.
func restoresOurs(t *testing.T, docker *harness.Env, e *plainEnv) {
	id := docker.Run(t, "busybox", "echo mine > /etc/mine; rm /bin/vi")
	ref := "carried:" + e.snapshotter
	docker.MakeCheckpoint(t, id, ref)
	archive := filepath.Join(t.TempDir(), "carried.tar")
	docker.Must(t, "save", "-o", archive, ref)
	checkpoint := e.imported(t, archive)
	r := e.restored(t, "carried", checkpoint)
	r.imageIs(t, "docker.io/library/busybox:latest")
	defer func() {
		if err := e.client.ImageService().Delete(e.ctx, "docker.io/library/busybox:latest"); err != nil {
			t.Error(err)
		}
	}()
	if err := e.client.ImageService().Delete(e.ctx, checkpoint.Name(), images.SynchronousDelete()); err != nil {
		t.Fatal(err)
	}
	r.collect(t)
	r.do(t, func(root string) {
		if text, err := os.ReadFile(filepath.Join(root, "etc/mine")); string(text) != "mine\n" {
			t.Errorf("/etc/mine holds %q: %v", text, err)
		}
		if _, err := os.Lstat(filepath.Join(root, "bin/vi")); !os.IsNotExist(err) {
			t.Errorf("/bin/vi is there: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(root, "bin/sh")); err != nil {
			t.Error(err)
		}
	})
	info, err := r.Info(r.ctx)
	if err != nil || info.Runtime.Name != "io.containerd.runc.v2" || info.Spec == nil {
		t.Errorf("%v: the runtime is %q", err, info.Runtime.Name)
	}
	if image, err := r.Image(r.ctx); err != nil || image.Metadata().Target.Size == 0 {
		t.Errorf("its image: %v", err)
	}
}
