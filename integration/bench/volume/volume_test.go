package volume_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
)

// TestMain runs the tests in a mount namespace of their own, as the benchmark
// runs.
func TestMain(m *testing.M) {
	const inner = "VOLUME_TEST_INNER"
	if os.Geteuid() != 0 || os.Getenv(inner) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inner+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

func open(t *testing.T, kind volume.Kind, dir string) *volume.Volume {
	t.Helper()
	return openWith(t, volume.Open, kind, dir, 1<<30)
}

type opener func(context.Context, volume.Kind, string, int64) (*volume.Volume, error)

func openWith(t *testing.T, opens opener, kind volume.Kind, dir string, size int64) *volume.Volume {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip(err)
	}
	v, err := opens(t.Context(), kind, dir, size)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVolumeIsOfItsKindAndGoesAway(t *testing.T) {
	tests := map[string]struct {
		kind  volume.Kind
		below string
	}{
		"ext4":         {volume.Ext4, "/var/tmp"},
		"ext4 by loop": {volume.Ext4, "/dev/shm"},
		"xfs":          {volume.XFS, "/var/tmp"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			kind := test.kind
			dir, err := os.MkdirTemp(test.below, "bv-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			v := open(t, kind, dir)
			file := filepath.Join(v.Dir, "file")
			if err := os.WriteFile(file, []byte("krill"), 0o644); err != nil {
				t.Error(err)
			}
			if err := v.Sync(); err != nil {
				t.Error(err)
			}
			if kind.Name == "xfs" {
				if out, err := exec.Command("cp", "--reflink=always", file, file+"2").CombinedOutput(); err != nil {
					t.Errorf("no reflink: %v: %s", err, out)
				}
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestLoopIsNoLargerThanAskedFor(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "bv-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const size = 32 << 20
	v := openWith(t, volume.OpenLoop, volume.Ext4, dir, size)
	var fs unix.Statfs_t
	if err := unix.Statfs(v.Dir, &fs); err != nil {
		t.Error(err)
	}
	if got := int64(fs.Blocks) * fs.Bsize; v.Loop == "" || got > size {
		t.Errorf("the volume on %q has %d bytes", v.Loop, got)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	v, err := volume.Open(t.Context(), volume.Kind{Name: "nofs"}, dir, 0)
	if err == nil {
		t.Fatalf("opened %+v", v)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := volume.Open(ctx, volume.XFS, dir, 1<<30); err == nil {
		t.Error("opened with a context that is over")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range devices {
		if file, err := os.ReadFile(device); err == nil && strings.HasPrefix(string(file), dir) {
			t.Errorf("%s has %s", device, file)
		}
	}
}
