package client_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimespec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/stack"
)

// ownersScript prints the owners of files as a container sees them.
const ownersScript = `stat -c '%n %a %u:%g' / /own /own/* /data`

// rootAttr is an attribute that a container gives to its root directory.
const rootAttr = "user.note"

// moves upgrades a container in a user namespace and goes back. Its files have
// the owners in it that they would have in one without.
func (r *remapped) moves(t *testing.T, s *stack.Stack) {
	shifted := &remapped{plainEnv: r.plainEnv, image: r.image, shift: r.shift + 11, mounted: r.mounted}
	two := r.imageOfTars(t, "example/owners:2", r.image, ocispec.ImageConfig{}, ownedTar(t, []tar.Header{
		{Name: "own/suid", Typeflag: tar.TypeReg, Mode: 0o6711, Uid: 13, Gid: 14},
		{Name: "own/one", Typeflag: tar.TypeReg, Mode: 0o600, Uid: 15, Gid: 16},
		{Name: "own/.wh.two", Typeflag: tar.TypeReg},
		{Name: "own/brought", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 17, Gid: 18},
	}))
	defer func() {
		if err := r.client.ImageService().Delete(r.ctx, two.Name(), images.SynchronousDelete()); err != nil {
			t.Error(err)
		}
	}()
	k := shifted.movable(t)
	k.do(t, func(root string) {
		shifted.put(t, root, "data", 0o604, 5, 6)
		shifted.put(t, root, "own/one", 0o4710, 21, 22) // a conflict, which the container wins
		err := errors.Join(os.Lchown(root, int(shifted.shift+3), int(shifted.shift+4)), os.Chmod(root, 0o751), unix.Setxattr(root, rootAttr, []byte("mine"), 0))
		if err != nil {
			t.Fatal(err)
		}
	})
	before := shifted.output(t, s, k, func() {})
	want := "/ 751 3:4\n/own 2775 5:6\n/own/acl 664 0:0\n/own/caps 755 0:0\n/own/link 777 9:9\n/own/one 4710 21:22\n/own/suid 6755 7:8\n/own/two 4755 9:9\n/data 604 5:6\n"
	if before != want {
		t.Fatalf("at first the container has\n%s\nwant\n%s", before, want)
	}
	shifted.restores(t, s, k, want, two)
	k.upgrade(t, two)
	want2 := "/ 751 3:4\n/own 2775 5:6\n/own/acl 664 0:0\n/own/brought 640 17:18\n/own/caps 755 0:0\n/own/link 777 9:9\n/own/one 4710 21:22\n/own/suid 6711 13:14\n/data 604 5:6\n"
	shifted.shows(t, s, k, "after an upgrade", want2)
	k.do(t, func(root string) { shifted.put(t, root, "data", 0o600, 7, 8) })
	k.rollback(t)
	shifted.shows(t, s, k, "after a rollback", want)
	k.do(t, func(root string) { shifted.put(t, root, "own/suid", 0o700, 31, 32) })
	k.upgrade(t, two) // with layers of its own, that have been sealed
	want3 := "/ 751 3:4\n/own 2775 5:6\n/own/acl 664 0:0\n/own/brought 640 17:18\n/own/caps 755 0:0\n/own/link 777 9:9\n/own/one 4710 21:22\n/own/suid 700 31:32\n/data 604 5:6\n"
	shifted.shows(t, s, k, "after a second upgrade", want3)
	k.rollback(t, clientopts.ToRevision(2))
	k.do(t, func(root string) {
		shifted.owned(t, root, "data", 7, 8)
		shifted.owned(t, root, "own/brought", 17, 18)
		shifted.owned(t, root, "bin/sh", 0, 0)
		value := make([]byte, 8)
		if n, err := unix.Getxattr(root, rootAttr, value); err != nil || string(value[:n]) != "mine" {
			t.Errorf("the root directory has %s %q: %v", rootAttr, value[:max(0, n)], err)
		}
	})
	k.listed(t, "1<0 example/owners:1, 2<1 example/owners:2, 3<1 example/owners:1, 4<3 example/owners:2, 5<2 example/owners:2*")
}

// restores makes a container of a checkpoint, which moves as the first one does.
func (r *remapped) restores(t *testing.T, s *stack.Stack, k *plainCtr, want string, two containerd.Image) {
	t.Helper()
	saved := k.kept(t, "example/mapped")
	c, err := r.client.NewContainer(r.ctx, "mapped", containerd.WithSnapshotter(r.snapshotter), clientopts.WithCheckpoint(saved))
	if err != nil {
		t.Fatal(err)
	}
	again := &plainCtr{r.plainEnv, c}
	defer func() {
		if err := c.Delete(r.ctx, clientopts.WithRevisionCleanup); err != nil {
			t.Error(err)
		}
		r.nothingOf(t, "mapped")
	}()
	if r.snapshotter == "native" { // layers of whole trees do not tell the root
		want = strings.Replace(want, "/ 751 3:4", "/ 755 0:0", 1)
	}
	r.shows(t, s, again, "after a restore", want)
	again.do(t, func(root string) { r.owned(t, root, "data", 5, 6); r.owned(t, root, "bin/sh", 0, 0) })
	if read, err := checkpoint.Read(r.ctx, r.client.ContentStore(), saved.Target()); err != nil || read.IDs != fmt.Sprintf("0:%d:65536 0:%[1]d:65536", r.shift) {
		t.Errorf("the checkpoint says of ids %+v: %v", read, err)
	}
	again.upgrade(t, two)
	again.do(t, func(root string) { r.owned(t, root, "data", 5, 6); r.owned(t, root, "own/suid", 13, 14) })
	_, err = r.client.NewContainer(r.ctx, "other", containerd.WithSnapshotter(r.snapshotter),
		clientopts.WithRemappedSnapshot("other", r.image, r.shift+1, r.shift+1), clientopts.WithCheckpoint(saved))
	if !errdefs.IsFailedPrecondition(err) {
		t.Errorf("onto a snapshot with another mapping: %v", err)
	}
	if err := r.client.SnapshotService(r.snapshotter).Remove(r.ctx, "other"); err != nil {
		t.Error(err)
	}
}

// movable makes a container in a user namespace.
func (r *remapped) movable(t *testing.T) *plainCtr {
	t.Helper()
	ids := []runtimespec.LinuxIDMapping{{ContainerID: 0, HostID: r.shift, Size: 65536}}
	c, err := r.client.NewContainer(r.ctx, "moved", containerd.WithSnapshotter(r.snapshotter),
		clientopts.WithRemappedSnapshot("moved", r.image, r.shift, r.shift),
		containerd.WithNewSpec(oci.WithDefaultPathEnv, oci.WithUserNamespace(ids, ids), oci.WithProcessArgs("/bin/sh", "-c", ownersScript)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(r.ctx, clientopts.WithRevisionCleanup); err != nil {
			t.Error(err)
		}
		r.nothingOf(t, "moved")
	})
	return &plainCtr{r.plainEnv, c}
}

// put writes a file as a container with mapped ids does: with the ids of the host.
func (r *remapped) put(t *testing.T, root, name string, mode os.FileMode, uid, gid uint32) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(path, int(r.shift+uid), int(r.shift+gid)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(path, uint32(mode)); err != nil {
		t.Fatal(err)
	}
}

func (r *remapped) owned(t *testing.T, root, name string, uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, name), &st); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(st.Uid, ":", st.Gid), fmt.Sprint(r.shift+uid, ":", r.shift+gid); got != want {
		t.Errorf("/%s is of %s, want %s", name, got, want)
	}
}

func (r *remapped) shows(t *testing.T, s *stack.Stack, k *plainCtr, when, want string) {
	t.Helper()
	if got := r.output(t, s, k, func() {}); got != want {
		t.Errorf("%s the container has\n%s\nwant\n%s", when, got, want)
	}
}
