package power_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/fault/sysfault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/power"
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

// powered is a disk with the roots of daemons on it.
type powered struct {
	*power.Disk
	config      stack.Config
	snapshotter string
	random      *rand.Rand
}

func newPowered(t *testing.T, place int, random *rand.Rand) *powered {
	t.Helper()
	if err := power.Available(); err != nil {
		t.Skip(err)
	}
	if err := stack.CheckMachine(); errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err) {
		t.Skip(err)
	}
	// Not below the test's own folder: its name is too long for sockets.
	dir, err := os.MkdirTemp("/var/tmp", "bp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	d, err := power.Open(t.Context(), powerPlaces[place].disk, dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &powered{Disk: d, config: powerPlaces[place].config, snapshotter: powerPlaces[place].snapshotter, random: random}
	p.config.Root, p.config.KeepRoot = filepath.Join(d.Dir, "s"), true
	p.config.DaemonConfig = map[string]any{"bridge": "none"} // so dockerd starts faster
	return p
}

// powerCut is what a disk held, and what had been acknowledged before.
type powerCut struct {
	*power.Cut
	acknowledged []keptState
	moved        int   // how many moves had been acknowledged
	versions     []int // to which the container may have moved
}

// last is what was acknowledged last.
func (c powerCut) last() string {
	if len(c.acknowledged) == 0 {
		return "nothing"
	}
	return fmt.Sprint(c.acknowledged[len(c.acknowledged)-1])
}

// cutWhileWorking starts daemons on the disk, has them work and cuts the power.
// In the end all is killed, and the disk unmounted.
func (p *powered) cutWhileWorking(t *testing.T, rounds int, unsynced []string) (acts int, cuts []powerCut) {
	t.Helper()
	s := p.start(t, unsynced)
	defer func() {
		if err := errors.Join(s.Kill(), p.Off()); err != nil {
			t.Fatal(err)
		}
	}()
	w := newWorker(t, &harness.Env{Stack: s}, p.random.Uint64())
	p.sync(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.work(ctx) }()
	for range rounds {
		when := cutMoments[p.random.IntN(len(cutMoments))]
		if len(unsynced) > 0 {
			when = afterAct
		}
		cuts = append(cuts, p.cut(t, w, when))
	}
	cancel()
	<-done
	if err := w.failure(); err != nil {
		t.Fatal(err)
	}
	return len(w.acknowledged()) + w.moves.acknowledged(), cuts
}

// start starts a stack on the disk, of which some daemons sync nothing.
func (p *powered) start(t *testing.T, unsynced []string) *stack.Stack {
	t.Helper()
	config := p.config
	if len(unsynced) > 0 {
		bin, err := stack.BinDir()
		if err != nil {
			t.Fatal(err)
		}
		wrapped := t.TempDir()
		if config.Env, err = sysfault.Unsynced(wrapped, bin, unsynced...); err != nil {
			t.Fatal(err)
		}
		t.Setenv("BALEEN_BIN", wrapped)
		defer t.Setenv("BALEEN_BIN", bin) // what comes after the cuts syncs
	}
	s, err := stack.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sync writes to disk what is there before the work.
func (p *powered) sync(t *testing.T) {
	t.Helper()
	f, err := os.Open(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// cutMoment is when the power is cut.
type cutMoment int

const (
	anyInstant cutMoment = iota
	afterAct             // soon after something was acknowledged
	duringMove           // soon after a move has begun
)

var cutMoments = [...]cutMoment{anyInstant, afterAct, duringMove}

// cut waits a while, and for its moment, and cuts the power.
func (p *powered) cut(t *testing.T, w *worker, when cutMoment) powerCut {
	t.Helper()
	time.Sleep(time.Duration(p.random.IntN(1500)) * time.Millisecond)
	counts := map[cutMoment]func() int{
		afterAct:   func() int { return len(w.acknowledged()) + w.moves.acknowledged() },
		duringMove: func() int { return len(w.moves.since(0)) },
	}
	if count := counts[when]; count != nil {
		before := count()
		harness.Eventually(t, "something to begin or to be acknowledged", func() error {
			if count() == before {
				return fmt.Errorf("nothing was: %w", w.failure())
			}
			return nil
		})
	}
	if when == duringMove { // which takes about as long
		time.Sleep(time.Duration(p.random.IntN(200)) * time.Millisecond)
	}
	acknowledged, moved := w.acknowledged(), w.moves.acknowledged()
	c, err := p.Cut()
	if err != nil {
		t.Fatal(err)
	}
	return powerCut{c, acknowledged, moved, w.moves.since(moved)}
}

// check starts daemons on what a cut left and returns what is lost, and how many
// images and revisions there are.
func (p *powered) check(t *testing.T, c powerCut) (found int, lost error) {
	t.Helper()
	lost = p.after(t, c.Cut, func(e *harness.Env) (err error) {
		left := survivor{Env: e, snapshotter: p.snapshotter}
		found, err = left.check(t, c.acknowledged)
		return errors.Join(err, left.moved(t, c.versions, c.moved), left.complaints(t))
	})
	return found, lost
}

// after starts daemons on what a cut left.
func (p *powered) after(t *testing.T, c *power.Cut, do func(*harness.Env) error) error {
	t.Helper()
	if err := c.Mount(p.Dir); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(p.Dir); err != nil {
			t.Error(err)
		}
	}()
	for _, d := range []stack.Daemon{stack.Containerd, stack.Dockerd} {
		if err := os.Remove(filepath.Join(p.config.Root, string(d)+".log")); err != nil {
			t.Fatal(err)
		}
	}
	s, err := stack.Start(t.Context(), p.config)
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	}()
	client, err := containerd.New(s.ContainerdAddress(), containerd.WithDefaultNamespace(s.ContainerdNamespace()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return do(&harness.Env{Stack: s, Client: client})
}
