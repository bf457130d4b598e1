package harness

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// ActiveMounts returns the mounts of a container's active snapshot.
func (e *Env) ActiveMounts(t *testing.T, sn, id string) []mount.Mount {
	t.Helper()
	mounts, err := e.Client.SnapshotService(sn).Mounts(e.Context(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

// TopLayer is the folder of a view's topmost snapshot.
func TopLayer(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	for _, o := range mounts[0].Options {
		if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
			return strings.Split(dirs, ":")[0]
		}
	}
	t.Fatalf("no lowerdir in %v", mounts)
	return ""
}

// WithView calls f with the mounts of a view of a committed snapshot. The view has a
// label that keeps it: containerd's garbage collection removes what nobody refers to.
func (e *Env) WithView(t *testing.T, name string, f func(mounts []mount.Mount)) {
	t.Helper()
	ctx, sn := e.Context(t), e.Client.SnapshotService(Snapshotter)
	view := "view of " + name
	mounts, err := sn.View(ctx, view, name, snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "now"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sn.Remove(ctx, view); err != nil {
			t.Error(err)
		}
	}()
	f(mounts)
}

// Proxied are the containerds that baleen-containerd is used with, as they are: that
// of the engine line (2.1 or 2.3) and the newest.
var Proxied = map[string]string{"containerd of the line": "containerd-stock", "containerd 2.4": "containerd-2.4"}

// Ctr runs ctr in a namespace of its own, and returns what it prints.
func (e *Env) Ctr(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.TryCtr(t, args...)
	if err != nil {
		t.Fatalf("ctr %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryCtr is Ctr that may fail. The error has what ctr printed on its standard error.
func (e *Env) TryCtr(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := e.Command(t.Context(), "ctr", append([]string{"-n", "test"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// SnapshotsOf are the names of all snapshots of a snapshotter, in order.
func (e *Env) SnapshotsOf(t *testing.T, namespace, sn string) (names []string) {
	t.Helper()
	return SnapshotNames(namespaces.WithNamespace(t.Context(), namespace), t, e.Client.SnapshotService(sn))
}

// SnapshotNames lists the snapshots of a snapshotter in the namespace of ctx, in order.
func SnapshotNames(ctx context.Context, t *testing.T, sn snapshots.Snapshotter) (names []string) {
	t.Helper()
	err := sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		names = append(names, i.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// NoTemporaryMounts checks that the daemons have not left mounts of snapshots.
func (e *Env) NoTemporaryMounts(t *testing.T) {
	t.Helper()
	for _, i := range e.MountInfo(t) {
		if strings.Contains(i.Mountpoint, "containerd-mount") {
			t.Errorf("there is a temporary mount: %+v", *i)
		}
	}
}

// ActiveSnapshot is that of a container.
func (e *Env) ActiveSnapshot(t *testing.T, id string) snapshots.Info {
	t.Helper()
	info, err := e.Client.SnapshotService(e.Inspect(t, id, "{{.Driver}}")).Stat(e.Context(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
