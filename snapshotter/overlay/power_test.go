package overlay_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/power"
)

// disks are the kinds of file systems that a machine can have, and their sizes
// in bytes.
var disks = []struct {
	kind volume.Kind
	size int64
}{{volume.Ext4, 256 << 20}, {volume.XFS, 320 << 20}}

// machine is a disk with snapshots on it, whose power can be cut.
type machine struct {
	*power.Disk
	dir  string // where a cut is mounted
	root string // of the snapshotter, on the disk
}

func newMachine(t *testing.T, disk int) *machine {
	t.Helper()
	d := newDisk(t, disks[disk].kind, disks[disk].size)
	return &machine{d, t.TempDir(), filepath.Join(d.Dir, "root")}
}

// newDisk mounts an empty disk for the test.
func newDisk(t *testing.T, kind volume.Kind, size int64) *power.Disk {
	t.Helper()
	requireRoot(t)
	if err := power.Available(); err != nil {
		t.Skip(err)
	}
	d, err := power.Open(t.Context(), kind, t.TempDir(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// cut calls f with the root as it is on disk when the power fails now.
func (m *machine) cut(t *testing.T, f func(root string)) {
	t.Helper()
	c, err := m.Cut()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(m.dir, "cut")
	if err := c.Mount(dir); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(dir, "root"))
	if err := c.Close(dir); err != nil {
		t.Error(err)
	}
}

// TestPowerCut cuts the power at random instants, while a process commits
// snapshots. BALEEN_POWER_ROUNDS says how often.
func TestPowerCut(t *testing.T) {
	n := rounds(t, "BALEEN_POWER_ROUNDS", 4)
	for i, disk := range disks {
		t.Run(disk.kind.Name, func(t *testing.T) {
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
		t.Run(disk.kind.Name, func(t *testing.T) {
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
