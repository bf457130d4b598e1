package userns_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/harness"
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
	config := harness.UsernsConfig("mount", nil)
	config.Root = root + "/stack"
	e := harness.Start(t, config, "busybox")
	usernsFiles(t, e, "")
}

// TestUserNamespacesAreApart checks that a daemon with a mapping shares neither
// images nor containers with one that has none, or another.
func TestUserNamespacesAreApart(t *testing.T) {
	config := harness.UsernsConfig("", nil)
	delete(config.DaemonConfig, "containerd-namespace")
	e := harness.Start(t, config, "busybox")
	names, err := e.Client.NamespaceService().List(t.Context())
	if err != nil || !slices.Contains(names, "moby-100000.100000") {
		t.Errorf("containerd has the namespaces %v: %v", names, err)
	}
	if found, err := e.Client.ImageService().List(e.Context(t)); err != nil || len(found) > 0 {
		t.Errorf("Docker's usual namespace has the images %v: %v", found, err)
	}
	if got := e.Must(t, "info", "-f", "{{.DockerRootDir}}"); !strings.HasSuffix(got, "/100000.100000") {
		t.Errorf("the data root is %s", got)
	}
}

// TestUserNamespaceCopyIsWhole kills the daemon while it makes a copy of an image.
func TestUserNamespaceCopyIsWhole(t *testing.T) {
	e := harness.Start(t, harness.UsernsConfig("copy", nil), "busybox")
	out, err := e.Build(t, "FROM busybox\nRUN mkdir /many && cd /many && for i in $(seq 3000); do echo $i > $i; done && chown -R 5:6 /many\n", "-t", "many")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	copies := func() (found, making int) {
		for _, name := range e.State(t).Snapshots {
			if strings.HasPrefix(name, "remap-") {
				making++
			} else if strings.HasSuffix(name, "-100000-100000") {
				found++
			}
		}
		return found, making
	}
	before, _ := copies()
	created := make(chan error, 1)
	go func() {
		_, err := harness.Output(e.Docker(t.Context(), "create", "many"))
		created <- err
	}()
	harness.Eventually(t, "a copy to be made", func() error {
		if _, making := copies(); making == 0 {
			return errors.New("none is being made")
		}
		return nil
	})
	if err := e.KillDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-created; err == nil {
		t.Error("it was made faster than the daemon was killed")
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.CollectGarbage(t)
	if found, making := copies(); found != before || making != 0 {
		t.Errorf("there are %d copies, before there were %d; and %d half ones", found, before, making)
	}
	if got := e.Must(t, "run", "--rm", "many", "sh", "-c", "stat -c %u:%g /many /many/* | sort | uniq -c | sed 's/^ *//'"); got != "3001 5:6" {
		t.Errorf("the files' owners are\n%s", got)
	}
}
