package client_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientProcessesGoOn restores the processes of a container that only
// containerd knows of, from a checkpoint that containerd's client has made.
func TestClientProcessesGoOn(t *testing.T) {
	harness.NeedCRIU(t)
	docker := harness.Start(t, stack.Config{}, "busybox")
	e := newPlainEnv(t, docker.ContainerdAddress(), "processes", harness.Snapshotter)
	archive := filepath.Join(t.TempDir(), "busybox.tar")
	docker.Must(t, "save", "-o", archive, "busybox")
	image := e.imported(t, archive)
	c, err := e.client.NewContainer(e.ctx, "counter", containerd.WithSnapshotter(e.snapshotter), clientopts.WithNewSnapshot(image),
		containerd.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs("sh", "-c", harness.CounterScript), oci.WithHostNamespace(specs.NetworkNamespace)))
	if err != nil {
		t.Fatal(err)
	}
	first := &plainCtr{e, c}
	first.start(t)
	before := first.past(t, 5)
	// In this order: the processes know their files as they are at their end.
	checkpoint, err := c.Checkpoint(e.ctx, "example/counter", containerd.WithCheckpointImage, containerd.WithCheckpointRuntime,
		containerd.WithCheckpointTaskExit, containerd.WithCheckpointTask, containerd.WithCheckpointRW)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.client.NewContainer(e.ctx, "again", containerd.WithSnapshotter(e.snapshotter), clientopts.WithCheckpoint(checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	again := &plainCtr{e, r}
	again.start(t, clientopts.WithTaskCheckpoint(checkpoint))
	if now := again.past(t, before); again.read(t, "begun") != "x\n" {
		t.Errorf("kept after %d it began anew, and is at %d", before, now)
	}
}

// start runs the container, which is deleted after the test.
func (k *plainCtr) start(t *testing.T, opts ...containerd.NewTaskOpts) {
	t.Helper()
	t.Cleanup(func() {
		if err := k.Delete(k.ctx, clientopts.WithRevisionCleanup); err != nil {
			t.Error(err)
		}
	})
	task, err := k.NewTask(k.ctx, cio.NullIO, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := task.Delete(k.ctx, containerd.WithProcessKill); err != nil {
			t.Error(err)
		}
	})
	if err := task.Start(k.ctx); err != nil {
		t.Fatal(err)
	}
}

// read reads what the running container has written.
func (k *plainCtr) read(t *testing.T, name string) string {
	t.Helper()
	o, err := changes.ParseOverlay(k.mounts(t), true)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Uppers[0], name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func (k *plainCtr) past(t *testing.T, n int) (now int) {
	t.Helper()
	began := time.Now()
	harness.Eventually(t, fmt.Sprintf("%s to count past %d", k.ID(), n), func() error {
		if now = strings.Count(k.read(t, "counted"), "\n"); now <= n {
			return fmt.Errorf("it is at %d after %s", now, time.Since(began))
		}
		return nil
	})
	return now
}
