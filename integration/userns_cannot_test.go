package integration_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUserNamespacesWhereNoneCanBeMounted has the daemons' data on a file system
// that cannot map ids: the kernel's ramfs. containerd, which goes by the kernel's
// version, announces that it can.
func TestUserNamespacesWhereNoneCanBeMounted(t *testing.T) {
	root, err := os.MkdirTemp("/var/tmp", "baleen-ramfs-") // that the namespace's root can reach
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(root); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", root, "ramfs", 0, "mode=755"); err != nil {
		t.Skip("no ramfs can be mounted:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	config := usernsConfig("mount", nil)
	config.Root = root + "/stack"
	e := newEnv(t, config, "busybox")
	usernsFiles(t, e, "")
}

// TestUserNamespacesAreApart checks that a daemon with a mapping shares neither
// images nor containers with one that has none, or another.
func TestUserNamespacesAreApart(t *testing.T) {
	config := usernsConfig("", nil)
	delete(config.DaemonConfig, "containerd-namespace")
	e := newEnv(t, config, "busybox")
	names, err := e.client.NamespaceService().List(t.Context())
	if err != nil || !slices.Contains(names, "moby-100000.100000") {
		t.Errorf("containerd has the namespaces %v: %v", names, err)
	}
	if found, err := e.client.ImageService().List(e.ctx(t)); err != nil || len(found) > 0 {
		t.Errorf("Docker's usual namespace has the images %v: %v", found, err)
	}
	if got := e.docker(t, "info", "-f", "{{.DockerRootDir}}"); !strings.HasSuffix(got, "/100000.100000") {
		t.Errorf("the data root is %s", got)
	}
}
