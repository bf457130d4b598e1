package power_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/fault/sysfault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// powerPlaces are where the daemons keep their data, and with what.
var powerPlaces = []struct {
	name, snapshotter string
	disk              volume.Kind
	config            stack.Config
	// syncing are the daemons that write snapshots to disk.
	syncing []string
}{
	{"overlayfs on ext4", "overlayfs", volume.Ext4, stack.Config{}, []string{"dockerd"}},
	{"baleen on xfs", "baleen", volume.XFS, harness.DriverConfig, []string{"dockerd", "containerd"}},
	{"overlayfs on xfs", "overlayfs", volume.XFS, stack.Config{}, []string{"dockerd"}},
	{"baleen on ext4", "baleen", volume.Ext4, harness.DriverConfig, []string{"dockerd", "containerd"}},
}

// powerPlacesByDefault is how many of them are tried without
// BALEEN_POWER_ROUNDS.
const powerPlacesByDefault = 2

// powerRounds is how often the power of a place is cut.
func powerRounds(t *testing.T) (rounds, places int) {
	t.Helper()
	text := os.Getenv("BALEEN_POWER_ROUNDS")
	if text == "" {
		return 3, powerPlacesByDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BALEEN_POWER_ROUNDS is %q", text)
	}
	return n, len(powerPlaces)
}

// TestPowerCut cuts the power at random instants while containers are committed,
// kept as revisions, upgraded and rolled back, and starts the daemons on what the disk holds then.
// Whatever was acknowledged is there and whole, and what was not is whole or
// not there: a container that was on the move has wholly the old or the new, and
// starts. With BALEEN_POWER_ROUNDS set it does so that often, in more places.
func TestPowerCut(t *testing.T) {
	rounds, places := powerRounds(t)
	random := harness.SeededRand(t)
	for i := range places {
		t.Run(powerPlaces[i].name, func(t *testing.T) {
			p := newPowered(t, i, random)
			acts, cuts := p.cutWhileWorking(t, rounds, nil)
			found, between := 0, 0
			for n, c := range cuts {
				if len(c.versions) > 1 {
					between++
				}
				there, err := p.check(t, c)
				if err != nil {
					t.Errorf("cut %d, after %v: %v", n+1, c.last(), err)
				}
				found += there
			}
			t.Logf("%d power cuts between %d acts, %d of them during one of %d moves, left %d images and revisions", rounds, acts, between, cuts[len(cuts)-1].moved, found)
		})
	}
}

// TestPowerCutWithoutSync shows that TestPowerCut would see it if snapshots
// were not written to disk.
func TestPowerCutWithoutSync(t *testing.T) {
	const most = 6
	if err := sysfault.Available(); err != nil {
		t.Skip(err)
	}
	_, places := powerRounds(t)
	for i := range places {
		t.Run(powerPlaces[i].name, func(t *testing.T) {
			p := newPowered(t, i, harness.SeededRand(t))
			_, cuts := p.cutWhileWorking(t, most, powerPlaces[i].syncing)
			for n, c := range cuts {
				if _, err := p.check(t, c); err != nil {
					t.Logf("cut %d lost something: %.600v", n+1, err)
					return
				}
			}
			t.Errorf("%d power cuts lost nothing, although nothing was synced", most)
		})
	}
}

// TestPowerCutAfterKeepingAMountedRoot keeps a stopped container whose root
// somebody still uses, in a mount namespace that was copied while it ran. So the
// unmounting after its end has not written its files to disk.
func TestPowerCutAfterKeepingAMountedRoot(t *testing.T) {
	p := newPowered(t, 0, harness.SeededRand(t))
	s := p.start(t, nil)
	w := newWorker(t, &harness.Env{Stack: s}, p.random.Uint64())
	p.sync(t)
	root := filepath.Join(s.DataRoot(), "rootfs", p.snapshotter, w.Inspect(t, running, "{{.Id}}"))
	holder := s.Command(t.Context(), "unshare", "--mount", "--propagation", "private",
		"sh", "-c", `cd "$0" && touch "$1" && exec sleep 1000`, root, filepath.Join(s.Root(), "held"))
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the root to be held", func() error {
		_, err := os.Stat(filepath.Join(s.Root(), "held"))
		return err
	})
	k := keptState{running, 1, true}
	for _, args := range [][]string{
		{"exec", running, "sh", "-c", "n=1; " + changeScript},
		{"kill", running},
		{"baleen", "snapshot", "-m", k.name(), running},
	} {
		w.Must(t, args...)
	}
	c, err := p.Cut()
	if err := errors.Join(err, s.Kill(), p.Off()); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // it was killed with the stack
	if _, err := p.check(t, powerCut{c, []keptState{k}, 0, []int{1}}); err != nil {
		t.Error(err)
	}
}

// TestPowerCutAfterCreate cuts the power when containers have just been created. A
// container that is there starts. Of one that is not, because Docker's record of it
// was not on disk, nothing is left.
func TestPowerCutAfterCreate(t *testing.T) {
	for _, place := range []int{0, 2} {
		t.Run(powerPlaces[place].name, func(t *testing.T) {
			p := newPowered(t, place, harness.SeededRand(t))
			s := p.start(t, nil)
			e := &harness.Env{Stack: s}
			if err := s.LoadImages(t.Context(), "busybox"); err != nil {
				t.Fatal(err)
			}
			p.sync(t)
			var created []string
			for range 4 {
				created = append(created, e.Must(t, "create", "--network=none", "busybox", "echo", "started"))
			}
			c, err := p.Cut()
			if err := errors.Join(err, s.Kill(), p.Off()); err != nil {
				t.Fatal(err)
			}
			if err := p.after(t, c, func(e *harness.Env) error { return createdOrNothing(t, e, created) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// createdOrNothing starts those containers that there are, and looks for what is
// left of the others.
func createdOrNothing(t *testing.T, e *harness.Env, created []string) error {
	t.Helper()
	var errs []error
	listed := e.Must(t, "ps", "-aq", "--no-trunc")
	left := e.State(t)
	there := 0
	for _, id := range created {
		if strings.Contains(listed, id) {
			there++
			out, err := e.Try(t, "start", "-a", id)
			if err == nil {
				err = harness.Expect(out, "started")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("the start of %s: %w: %s", id, err, out))
			}
			continue
		}
		for _, name := range append(left.Snapshots, left.Leases...) {
			if strings.Contains(name, id) {
				errs = append(errs, fmt.Errorf("%s is not listed, and %s is left", id, name))
			}
		}
	}
	if there == 0 {
		errs = append(errs, errors.New("no container is left"))
	}
	errs = append(errs, e.Inconsistent(t))
	return errors.Join(errs...)
}
