package client_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimespec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientRemappedSnapshots makes containers whose ids are mapped, without
// Docker.
func TestClientRemappedSnapshots(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	for name, c := range map[string]struct {
		snapshotter string
		shift       uint32
		mounted     bool
	}{
		"mounted": {"overlayfs", 100000, true},
		// Ids that are both inside and outside are not mapped by mounting.
		"copied":         {"overlayfs", 1000, false},
		"without layers": {"native", 100000, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newPlainEnv(t, s.ContainerdAddress(), "remap-"+strings.ReplaceAll(name, " ", "-"), c.snapshotter)
			r := &remapped{plainEnv: e, shift: c.shift, mounted: c.mounted, image: e.withOwners(t, s)}
			t.Run("files", r.files)
			t.Run("at once", r.atOnce)
			t.Run("cut", r.cut)
			t.Run("run", func(t *testing.T) { r.run(t, s) })
			t.Run("moves", func(t *testing.T) { r.moves(t, s) })
			t.Run("collected", r.collected)
		})
	}
}

// remapped is a place for tests of ids that are shifted.
type remapped struct {
	*plainEnv
	image   containerd.Image
	shift   uint32
	mounted bool
}

// withOwners makes an image on busybox with what changing owners can lose.
func (e *plainEnv) withOwners(t *testing.T, s *stack.Stack) containerd.Image {
	t.Helper()
	base := e.busybox(t, s)
	caps := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x07\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x06\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	return e.imageOfTars(t, "example/owners:1", base, ocispec.ImageConfig{}, ownedTar(t, []tar.Header{
		{Name: "own/", Typeflag: tar.TypeDir, Mode: 0o2775, Uid: 5, Gid: 6},
		{Name: "own/suid", Typeflag: tar.TypeReg, Mode: 0o6755, Uid: 7, Gid: 8, PAXRecords: map[string]string{"SCHILY.xattr.user.tag": "mine"}},
		{Name: "own/caps", Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": caps}},
		{Name: "own/acl", Typeflag: tar.TypeReg, Mode: 0o664, PAXRecords: map[string]string{"SCHILY.xattr.system.posix_acl_access": acl}},
		{Name: "own/one", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 9, Gid: 9},
		{Name: "own/two", Typeflag: tar.TypeLink, Linkname: "own/one", Mode: 0o4755, Uid: 9, Gid: 9},
		{Name: "own/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow", Uid: 9, Gid: 9},
	}))
}

// ownedTar is a layer of empty files.
func ownedTar(t *testing.T, headers []tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.ModTime = time.Unix(1e9, 0)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// make makes a container with an option, and deletes it in the end.
func (r *remapped) make(t *testing.T, id string, opts ...containerd.NewContainerOpts) containerd.Container {
	t.Helper()
	c, err := r.client.NewContainer(r.ctx, id, append([]containerd.NewContainerOpts{containerd.WithSnapshotter(r.snapshotter)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(r.ctx, containerd.WithSnapshotCleanup); err != nil {
			t.Error(err)
		}
	})
	return c
}

// look calls f with the files of a container.
func (r *remapped) look(t *testing.T, c containerd.Container, f func(root string)) {
	t.Helper()
	info, err := c.Info(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := r.client.SnapshotService(info.Snapshotter).Mounts(r.ctx, info.SnapshotKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := mount.WithTempMount(r.ctx, mounts, func(root string) error { f(root); return nil }); err != nil {
		t.Fatal(err)
	}
}

func (r *remapped) files(t *testing.T) {
	maps := []runtimespec.LinuxIDMapping{{ContainerID: 0, HostID: r.shift, Size: 65536}}
	for name, opt := range map[string]containerd.NewContainerOpts{
		"snapshot":      clientopts.WithRemappedSnapshot("s1", r.image, r.shift, r.shift),
		"view":          clientopts.WithRemappedSnapshotView("s2", r.image, r.shift, r.shift),
		"userns":        clientopts.WithUserNSRemappedSnapshot("s3", r.image, maps, maps),
		"userns view":   clientopts.WithUserNSRemappedSnapshotView("s4", r.image, maps, maps),
		"another range": clientopts.WithUserNSRemappedSnapshot("s5", r.image, append(maps, runtimespec.LinuxIDMapping{ContainerID: 70000, HostID: 300000, Size: 10}), maps),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.make(t, strings.ReplaceAll(name, " ", "-"), opt)
			info, err := c.Info(r.ctx)
			if err != nil || info.Image != r.image.Name() || info.Snapshotter != r.snapshotter {
				t.Errorf("the record is %+v: %v", info, err)
			}
			r.look(t, c, func(root string) {
				r.owners(t, root)
				err := os.WriteFile(filepath.Join(root, "new"), nil, 0o644)
				if written := err == nil; written == strings.Contains(name, "view") {
					t.Errorf("writing gave %v", err)
				}
			})
		})
	}
	if err := r.imageUntouched(t); err != nil {
		t.Errorf("the image itself has changed: %v", err)
	}
	c := clientopts.WithUserNSRemappedSnapshot("s6", r.image, []runtimespec.LinuxIDMapping{{ContainerID: 1, HostID: 1, Size: 1}}, maps)
	if _, err := r.client.NewContainer(r.ctx, "rootless", containerd.WithSnapshotter(r.snapshotter), c); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a mapping without root gave %v", err)
	}
}

// owners checks that files belong to whom they should, and have what they had.
func (r *remapped) owners(t *testing.T, root string) {
	t.Helper()
	for name, want := range map[string]struct{ mode, uid, gid uint32 }{
		"": {0o40755, 0, 0}, "bin": {0o40755, 0, 0}, "own": {0o42775, 5, 6}, "own/suid": {0o106755, 7, 8},
		"own/caps": {0o100755, 0, 0}, "own/acl": {0o100664, 0, 0}, "own/one": {0o104755, 9, 9}, "own/link": {0o120777, 9, 9},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil {
			t.Error(err)
		}
		if st.Mode != want.mode || st.Uid != want.uid+r.shift || st.Gid != want.gid+r.shift {
			t.Errorf("/%s is %o of %d:%d, want %o of %d:%d", name, st.Mode, st.Uid, st.Gid, want.mode, want.uid+r.shift, want.gid+r.shift)
		}
	}
	one, err := os.Stat(filepath.Join(root, "own/one"))
	two, err2 := os.Stat(filepath.Join(root, "own/two"))
	if err := errors.Join(err, err2); err != nil || !os.SameFile(one, two) {
		t.Errorf("own/one and own/two are two files: %v", err)
	}
	value := make([]byte, 100)
	n, err := unix.Getxattr(filepath.Join(root, "own/caps"), "security.capability", value)
	if err != nil || n < 20 || value[5] != 4 {
		t.Errorf("the capabilities are %x: %v", value[:max(n, 0)], err)
	}
	n, err = unix.Getxattr(filepath.Join(root, "own/acl"), "system.posix_acl_access", value)
	if id := uint32(value[16]) | uint32(value[17])<<8 | uint32(value[18])<<16; err != nil || n != 44 || id != 7+r.shift {
		t.Errorf("the access control list is %x: %v", value[:max(n, 0)], err)
	}
	n, err = unix.Getxattr(filepath.Join(root, "own/suid"), "user.tag", value)
	if err != nil || string(value[:max(n, 0)]) != "mine" {
		t.Errorf("the attribute is %q: %v", value[:max(n, 0)], err)
	}
}

func (r *remapped) imageUntouched(t *testing.T) (err error) {
	c := r.make(t, "plain", containerd.WithNewSnapshot("plain", r.image))
	r.look(t, c, func(root string) {
		var st unix.Stat_t
		if err = unix.Lstat(filepath.Join(root, "own/one"), &st); err == nil && (st.Uid != 9 || st.Mode != 0o104755) {
			err = fmt.Errorf("own/one is %o of %d", st.Mode, st.Uid)
		}
	})
	return err
}

// atOnce makes many containers of an image that has not been remapped yet.
func (r *remapped) atOnce(t *testing.T) {
	shift := r.shift + 5
	var all sync.WaitGroup
	for n := range 6 {
		all.Add(1)
		go func() {
			defer all.Done()
			id := fmt.Sprint("many", n)
			c, err := r.client.NewContainer(r.ctx, id, containerd.WithSnapshotter(r.snapshotter), clientopts.WithRemappedSnapshot(id, r.image, shift, shift))
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Delete(r.ctx, containerd.WithSnapshotCleanup); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	r.copies(t, shift, 1)
}

// copies checks how many copies of the image there are, and that nothing else is
// left.
func (r *remapped) copies(t *testing.T, shift uint32, want int) {
	t.Helper()
	if r.mounted {
		want = 0
	}
	suffix, found := fmt.Sprintf("-%d-%d", shift, shift), 0
	for _, name := range r.snapshots(t) {
		if strings.HasSuffix(name, suffix) && strings.HasPrefix(name, "sha256:") {
			found++
		}
		if strings.HasPrefix(name, "remap-") || strings.Contains(name, "-idmapped-") {
			t.Errorf("snapshot %s is left", name)
		}
	}
	if found != want {
		t.Errorf("there are %d copies of the image, want %d: %v", found, want, r.snapshots(t))
	}
}

// cut ends the making of a copy at many instants. What there is of it counts only
// when it is whole.
func (r *remapped) cut(t *testing.T) {
	shift := r.shift + 7
	var err error
	for wait := time.Millisecond; wait < time.Minute; wait = wait * 3 / 2 {
		id := fmt.Sprint("cut", wait)
		ctx, cancel := context.WithTimeout(r.ctx, wait)
		_, err = r.client.NewContainer(ctx, id, containerd.WithSnapshotter(r.snapshotter), clientopts.WithRemappedSnapshot(id, r.image, shift, shift))
		cancel()
		c, missing := r.client.LoadContainer(r.ctx, id) // it can be there after an error
		if missing == nil {
			r.look(t, c, func(root string) {
				(&remapped{plainEnv: r.plainEnv, shift: shift}).owners(t, root)
			})
			if err := c.Delete(r.ctx, containerd.WithSnapshotCleanup); err != nil {
				t.Error(err)
			}
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	// The client leaves its leases when it is cut, to expire within a day.
	held, err := r.client.LeasesService().List(r.ctx)
	for _, l := range held {
		err = errors.Join(err, r.client.LeasesService().Delete(r.ctx, l, leases.SynchronousDelete))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.copies(t, shift, 1)
}

// run runs a program in a user namespace.
func (r *remapped) run(t *testing.T, s *stack.Stack) {
	ids := []runtimespec.LinuxIDMapping{{ContainerID: 0, HostID: r.shift, Size: 65536}}
	c := r.make(t, "run", clientopts.WithRemappedSnapshot("run", r.image, r.shift, r.shift), containerd.WithNewSpec(
		oci.WithDefaultPathEnv, oci.WithUserNamespace(ids, ids), oci.WithProcessArgs("/bin/sh", "-c",
			`stat -c '%n %a %u:%g' /own /own/suid /own/one; echo new > /own/new && chown 5:5 /own/new && stat -c '%u' /own/new; grep CapBnd /proc/self/status >/dev/null && echo ended`)))
	out := r.output(t, s, c, func() {
		options, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/run/containerd/io.containerd.runtime.v2.task/*/run/options.json", s.Pid(stack.Containerd)))
		if err != nil || len(options) != 1 {
			t.Fatalf("the task's options are at %v: %v", options, err)
		}
		if text, err := os.ReadFile(options[0]); err != nil || !strings.Contains(string(text), `"no_pivot_root":true`) {
			t.Errorf("the options of the task are %s: %v", text, err)
		}
	})
	if want := "/own 2775 5:6\n/own/suid 6755 7:8\n/own/one 4755 9:9\n5\nended\n"; out != want {
		t.Errorf("it printed %s", out)
	}
}

// output runs a container to its end, and returns what it printed. made is called
// before it begins.
func (r *remapped) output(t *testing.T, s *stack.Stack, c containerd.Container, made func()) string {
	t.Helper()
	log := filepath.Join(s.Root(), "run.log")
	task, err := c.NewTask(r.ctx, cio.LogFile(log), clientopts.WithNoPivotRoot)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := task.Delete(r.ctx, containerd.WithProcessKill); err != nil {
			t.Error(err)
		}
	}()
	made()
	ended, err := task.Wait(r.ctx)
	if err == nil {
		err = task.Start(r.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	status := <-ended
	out, err := os.ReadFile(log)
	if err != nil || status.ExitCode() != 0 {
		t.Errorf("it printed %s and ended with %d: %v", out, status.ExitCode(), err)
	}
	if err := os.Remove(log); err != nil {
		t.Error(err)
	}
	return string(out)
}

// collected checks that a copy stays as long as its image.
func (r *remapped) collected(t *testing.T) {
	r.collect(t)
	r.copies(t, r.shift, 1)
	if err := r.client.ImageService().Delete(r.ctx, r.image.Name(), images.SynchronousDelete()); err != nil {
		t.Fatal(err)
	}
	r.collect(t)
	r.copies(t, r.shift, 0)
}
