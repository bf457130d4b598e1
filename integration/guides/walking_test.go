package guides_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// containerChanges are of every kind that containerd's walking differ sees: it overlooks
// what keeps size and time, and attributes alone.
const containerChanges = `cd /img
echo more >> file; echo new > new; mkdir -p made/deep; echo deep > made/deep/file; ln made/deep/file made/twin
rm gone other dir/a; rm -r full; mkdir full; echo full > full/07
rm twin-a; mkdir twin-a; echo in > twin-a/in; rm -r dir/sub; echo now > dir/sub
ln -sf /nowhere link; rm dangling; mkfifo pipe; mknod device c 1 5
cp capable capable-too; mv moved elsewhere; chmod 4755 pair/b; chown -R 9:10 pair; chmod 700 sticky`

// TestLayersLikeWalking compares containers as nerdctl and ctr do when they commit: with
// our differ, and with containerd's own, which this process runs itself. The layers are
// unpacked by containerd's applier, each on the container's image: then they are the same
// files.
func TestLayersLikeWalking(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock, Proxy: true, DifferForAll: true}, "busybox")
	layers, err := fidelity.DeepLayers()
	if err != nil {
		t.Fatal(err)
	}
	app, deep := filepath.Join(e.Root(), "tmp", "app.tar"), filepath.Join(e.Root(), "tmp", "deep.tar")
	e.Must(t, "save", "-o", app, "busybox")
	archive, err := os.Create(deep)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(addLayers(archive, app, layers), archive.Close()); err != nil {
		t.Fatal(err)
	}
	ctx := namespaces.WithNamespace(t.Context(), "test")
	lease, err := e.Client.LeasesService().Create(ctx, leases.WithID("compared"))
	if err != nil {
		t.Fatal(err)
	}
	ctx = leases.WithLease(ctx, lease.ID)
	for _, sn := range []string{"overlayfs", "baleen"} {
		t.Run(sn, func(t *testing.T) {
			e.Ctr(t, "image", "import", "--snapshotter", sn, deep)
			id := "changed-" + sn
			e.Ctr(t, "run", "-d", "--snapshotter", sn, deepImage, id, "sleep", "infinity")
			e.Ctr(t, "task", "exec", "--exec-id", "change", id, "sh", "-ec", containerChanges)
			differs := map[string]containerddiff.Comparer{
				"ours": e.Client.DiffService(), "walking": walking.NewWalkingDiff(e.Client.ContentStore()),
			}
			made := map[string]ocispec.Descriptor{}
			for name, differ := range differs {
				if made[name], err = rootfs.CreateDiff(ctx, id, e.Client.SnapshotService(sn), differ); err != nil {
					t.Fatal(name, err)
				}
			}
			unpackedOn(ctx, e, t, sn, id, made["walking"], func(want string) {
				if _, err := os.Stat(filepath.Join(want, "img/twin-a/in")); err != nil {
					t.Errorf("the walking differ's layer lacks what was written: %v", err)
				}
				unpackedOn(ctx, e, t, sn, id, made["ours"], func(got string) { sameFiles(t, want, got) })
			})
			e.Ctr(t, "task", "rm", "-f", id)
			e.Ctr(t, "container", "rm", id)
		})
	}
	if log := e.LogTail(stack.Proxy, 1000); strings.Count(log, "read=uppers") != 2 || strings.Contains(log, "whole trees") {
		t.Errorf("the differ's log has not two comparisons by uppers:\n%s", log)
	}
}

// unpackedOn calls f with a layer unpacked on a container's image, mounted.
func unpackedOn(ctx context.Context, e *harness.Env, t *testing.T, sn, container string, layer ocispec.Descriptor, f func(root string)) {
	t.Helper()
	service := e.Client.SnapshotService(sn)
	info, err := service.Stat(ctx, container)
	if err != nil {
		t.Fatal(err)
	}
	key := "unpacked-" + layer.Digest.String()
	mounts, err := service.Prepare(ctx, key, info.Parent)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := service.Remove(ctx, key); err != nil {
			t.Error(err)
		}
	}()
	if _, err := apply.NewFileSystemApplier(e.Client.ContentStore()).Apply(ctx, layer, mounts); err != nil {
		t.Fatal(err)
	}
	if err := mount.WithReadonlyTempMount(ctx, mounts, func(root string) error { f(root); return nil }); err != nil {
		t.Fatal(err)
	}
}
