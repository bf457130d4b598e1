package moves_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/backend"
	dockerevents "github.com/docker/docker/api/types/events"
	"github.com/docker/docker/container"
	dockerimage "github.com/docker/docker/image"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/revisions"
	"github.com/baleen-project/baleen/integration/harness"
)

// mover is an image service of the test's own, beside the daemon's, with one
// container that the daemon has created and knows nothing more of.
type mover struct {
	e *harness.Env
	imageservice.Upstream
	client  *containerd.Client
	service *imageservice.Service
	ctr     *container.Container
	mounted atomic.Bool // by somebody
}

func newMover(t *testing.T, e *harness.Env, client *containerd.Client, ctr string) *mover {
	t.Helper()
	m := &mover{e: e, client: client}
	// With user namespaces the daemon's data are in a folder of the first id.
	for _, pattern := range []string{"containers", "*/containers"} {
		found, _ := filepath.Glob(filepath.Join(e.DataRoot(), pattern, ctr))
		if len(found) > 0 {
			m.ctr = container.NewBaseContainer(ctr, found[0])
		}
	}
	if m.ctr == nil {
		t.Fatalf("the daemon has no container %s", ctr)
	}
	if err := m.ctr.FromDisk(); err != nil {
		t.Fatal(err)
	}
	m.service = imageservice.New(imageservice.Config{
		Client: client, Containers: m, Snapshotter: m.ctr.Driver, Owner: "test", Mounter: m, Events: m, Upstream: m,
		TempMounts: t.TempDir(),
	})
	t.Cleanup(func() { // it is the whole process's
		if err := mount.SetTempMountLocation(os.TempDir()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *mover) Get(string) *container.Container { return m.ctr }

func (m *mover) Log(dockerevents.Action, dockerevents.Type, dockerevents.Actor) {}

func (m *mover) Mount([]mount.Mount, string) (string, error) { return "", errdefs.ErrNotImplemented }

func (m *mover) Unmount(string) error { return errdefs.ErrNotImplemented }

func (m *mover) Mounted(string) (string, error) {
	if m.mounted.Load() {
		return "/somewhere", nil
	}
	return "", nil
}

// GetImage finds an image by its name, for one platform.
func (m *mover) GetImage(ctx context.Context, name string, _ backend.GetImageOpts) (*dockerimage.Image, error) {
	record, err := m.e.Client.ImageService().Get(ctx, "docker.io/library/"+name)
	if err != nil {
		return nil, err
	}
	base, err := baseimage.Read(ctx, m.e.Client.ContentStore(), record.Target, m.ctr.ImagePlatform)
	if err != nil {
		return nil, err
	}
	img := dockerimage.NewImage(dockerimage.ID(record.Target.Digest))
	img.OS, img.Architecture = base.Config.OS, base.Config.Architecture
	img.Details = &dockerimage.Details{ManifestDescriptor: &record.Target}
	return img, nil
}

// do changes the container's files with a script, from outside.
func (m *mover) do(t *testing.T, script string) string {
	t.Helper()
	mounts, err := m.client.SnapshotService(m.ctr.Driver).Mounts(t.Context(), m.ctr.ID)
	if err != nil {
		t.Fatal(err)
	}
	return sh(t, m.e, mounts, script)
}

// sh runs a script in the root of a mount.
func sh(t *testing.T, e *harness.Env, mounts []mount.Mount, script string) (out string) {
	t.Helper()
	err := mount.WithTempMount(t.Context(), mounts, func(root string) (err error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir = root
		out, err = harness.Output(cmd)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// files tells all of the container's files that the tests change.
func (m *mover) files(t *testing.T) string {
	t.Helper()
	return m.do(t, tellFiles)
}

const tellFiles = `for f in $(find app data -type f 2>/dev/null | sort); do echo $f=$(cat $f); done`

func (m *mover) has(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Fields(m.files(t)); !slices.Equal(got, want) {
		t.Errorf("the container has %q, want %q", got, want)
	}
}

// run runs a move and does the daemon's part of it.
func (m *mover) run(t *testing.T, move *revisions.Move, err error) *revisions.Move {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := move.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.follow(t)
	return move
}

// follow makes the container's record equal its state.
func (m *mover) follow(t *testing.T) {
	t.Helper()
	st, err := m.service.RevisionStore().State(t.Context(), m.ctr.ID)
	if err != nil {
		t.Fatal(err)
	}
	if st != nil {
		m.ctr.Config, m.ctr.ImageID, m.ctr.ImageManifest, m.ctr.ImagePlatform = st.Config, st.ImageID, st.Manifest, st.Platform
	}
}

func (m *mover) rollback(t *testing.T, o revisions.RollbackOptions) *revisions.Move {
	t.Helper()
	move, err := m.service.RevisionStore().PrepareRollback(t.Context(), m.ctr, o)
	return m.run(t, move, err)
}

func (m *mover) snapshot(t *testing.T) api.Revision {
	t.Helper()
	r, err := m.service.RevisionStore().Snapshot(t.Context(), m.ctr, revisions.SnapshotOptions{Message: "a message"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// upgradeOptions are those of an upgrade to app:2.
func upgradeOptions() revisions.UpgradeOptions {
	return revisions.UpgradeOptions{Image: "app:2", Message: "to 2", Init: func(root string) error {
		return os.WriteFile(filepath.Join(root, ".dockerenv"), nil, 0o755)
	}}
}
