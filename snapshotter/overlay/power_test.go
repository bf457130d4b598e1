package overlay_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a disk with snapshots on it, whose power can be cut.
//
// The disk is a file system in a file that is mounted by a loop device: the file holds
// what a disk would hold that writes at once what it is given, and nothing of
// what the kernel still keeps back. The file lies on an XFS, for that can clone
// it at one moment while it is being written. And the XFS lies in memory.
type machine struct {
	dir, disk string
	options   string // to mount the disk, and also a copy of it
	root      string // of the snapshotter, on the disk
}

// disks are the file systems that a machine can have.
var disks = []struct {
	name, size, options string
	mkfs                []string
}{
	{"ext4", "256m", "loop", []string{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0"}},
	{"xfs", "320m", "loop,nouuid", []string{"mkfs.xfs", "-q"}},
}

func newMachine(t *testing.T, disk int) *machine {
	t.Helper()
	requireRoot(t)
	for _, program := range []string{"mkfs.xfs", "mkfs.ext4", "losetup"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a disk whose power can be cut takes %s: %v", program, err)
		}
	}
	memory := t.TempDir()
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, "size=2g"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, memory) })
	m := &machine{dir: filepath.Join(memory, "xfs")}
	m.disk = filepath.Join(m.dir, "disk")
	attach(t, filepath.Join(memory, "xfs.img"), m.dir, "1g", "mkfs.xfs", "-q", "-m", "reflink=1")
	mounted, d := filepath.Join(memory, "disk"), disks[disk]
	attach(t, m.disk, mounted, d.size, d.mkfs...)
	m.options = d.options
	m.root = filepath.Join(mounted, "root")
	return m
}

// attach makes a file system in a file, and mounts it.
func attach(t *testing.T, file, dir, size string, mkfs ...string) {
	t.Helper()
	run(t, "truncate", "-s", size, file)
	run(t, mkfs[0], append(mkfs[1:], file)...)
	mountFile(t, file, dir, "loop")
}

func mountFile(t *testing.T, file, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// mount detaches the device again when the file system is unmounted.
	run(t, "mount", "-o", options, file, dir)
	t.Cleanup(func() { unmount(t, dir) })
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	// Twice is once too often only for those that were unmounted earlier.
	if err := unix.Unmount(dir, 0); err != nil && err != unix.EINVAL {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// cut calls f with the root as it is on disk when the power fails now.
func (m *machine) cut(t *testing.T, f func(root string)) {
	t.Helper()
	copied := filepath.Join(m.dir, "cut")
	dir := filepath.Join(filepath.Dir(m.dir), "cut")
	clone(t, copied, m.disk)
	mountFile(t, copied, dir, m.options)
	f(filepath.Join(dir, "root"))
	unmount(t, dir)
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
}

func clone(t *testing.T, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		t.Fatalf("clone %s: %v", from, err)
	}
}

// TestPowerCut cuts the power at random instants, while a process commits
// snapshots. BALEEN_POWER_ROUNDS says how often.
func TestPowerCut(t *testing.T) {
	n := rounds(t, "BALEEN_POWER_ROUNDS", 4)
	for i, disk := range disks {
		t.Run(disk.name, func(t *testing.T) {
			acts, found, losses := cutPower(t, i, n)
			for _, err := range losses {
				t.Error(err)
			}
			t.Logf("%d power cuts between %d acts left %d snapshots, %d not as they should be", n, acts, found, len(losses))
		})
	}
}

// TestPowerCutWithoutSync shows that TestPowerCut would see it if files were not
// synced.
func TestPowerCutWithoutSync(t *testing.T) {
	const most = 20
	for i, disk := range disks {
		t.Run(disk.name, func(t *testing.T) {
			for n := range most {
				if _, _, losses := cutPower(t, i, 1, workerSync+"=off"); len(losses) > 0 {
					t.Logf("the %d. cut lost something: %v", n+1, losses[0])
					return
				}
			}
			t.Errorf("%d power cuts lost nothing, although nothing was synced", most)
		})
	}
}

func cutPower(t *testing.T, disk, n int, env ...string) (acts, found int, losses []error) {
	t.Helper()
	m := newMachine(t, disk)
	p := start(t, m.root, append(env, workerSeed+"=p")...)
	for i := range n {
		time.Sleep(time.Duration(rand.IntN(500_000)) * time.Microsecond)
		before, _ := p.said(t)
		m.cut(t, func(root string) {
			after, _ := p.said(t)
			there, err := before.unchanged(after).check(root)
			if err != nil {
				losses = append(losses, fmt.Errorf("cut %d: %w", i, err))
			}
			found += there
		})
	}
	p.kill(t)
	_, acts = p.said(t)
	return acts, found, losses
}

// unchanged is what an account and a later one have in common: it held all the
// time between them.
func (a account) unchanged(later account) account {
	both := account{}
	for name, state := range a {
		if later[name] == state {
			both[name] = state
		}
	}
	return both
}
