package power_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/fault/sysfault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/power"
	"github.com/baleen-project/baleen/integration/stack"
)

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
