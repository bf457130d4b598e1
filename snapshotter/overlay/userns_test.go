package overlay_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// insideUserns is set in a process that has a user namespace of its own.
const insideUserns = "BALEEN_OVERLAY_USERNS"

// TestUserNamespace runs other tests in a user namespace, as rootless containerd
// does.
func TestUserNamespace(t *testing.T) {
	requireRoot(t)
	const first, count = 100_000, 65536
	dir := t.TempDir()
	for path := dir; strings.Contains(path, t.Name()); path = path[:strings.LastIndex(path, "/")] {
		if err := os.Chown(path, first, first); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^(TestInUserNamespace|TestUsage|TestStock|TestRemoveWhileMounted|TestManyInParallel)$")
	cmd.Env = append(os.Environ(), insideUserns+"=1", "TMPDIR="+dir)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: first, Size: count}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: 0, Gid: 0},
	}
	out, err := cmd.CombinedOutput()
	if passed := strings.Count(string(out), "--- PASS: Test"); err != nil || passed != 5 {
		t.Errorf("in a user namespace: %v\n%s", err, out)
	}
}

// TestInUserNamespace is run by TestUserNamespace.
func TestInUserNamespace(t *testing.T) {
	if os.Getenv(insideUserns) == "" {
		t.Skip("TestUserNamespace runs this")
	}
	s := open(t, t.TempDir())
	if got := s.Capabilities(); slices.Contains(got, overlay.CapabilityRemapIDs) {
		t.Logf("this kernel maps ids in user namespaces: %q", got)
	}
	chain(t, s, 1, 3)
	mounts, err := s.Prepare(t.Context(), "active", "l3")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(mounts[0].Options, "userxattr") {
		t.Errorf("options %q", mounts[0].Options)
	}
	mounted(t, mounts, func(dir string) {
		if err := os.Remove(dir + "/file1"); err != nil {
			t.Error(err)
		}
	})
	if err := s.Commit(t.Context(), "l4", "active"); err != nil {
		t.Fatal(err)
	}
	if mounts, err = s.View(t.Context(), "view", "l4"); err != nil {
		t.Fatal(err)
	}
	mounted(t, mounts, func(dir string) {
		if got := entries(t, dir); !slices.Equal(got, []string{"file2", "file3"}) {
			t.Errorf("after a deletion: %q", got)
		}
	})
}
