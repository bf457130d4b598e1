package kill_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestKilledAtEachCall kills a daemon at each call to containerd by which an
// upgrade or a rollback of a stopped container changes something, and at some,
// by chance, of other operations. With BALEEN_KILL_ALL set it does so at all
// calls of all, before and after, with either daemon.
//
// Afterwards the container is wholly the old or wholly the new: its files, its
// record and its revisions. It starts, and can be moved again; and when it is
// removed nothing is left.
func TestKilledAtEachCall(t *testing.T) {
	all := harness.KillAll()
	k := newKiller(t, false, harness.SeededRand(t))
	rounds := 0
	for _, v := range killVerbs {
		if !all && v.name != "upgrade" && v.name != "rollback" && v.name != nothingWritten {
			continue
		}
		for _, daemon := range []stack.Daemon{stack.Dockerd, stack.Containerd} {
			for _, when := range []string{"before", "after"} {
				if !all && (when == "after" || daemon == stack.Containerd) {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s %s", v.name, daemon, when), func(t *testing.T) {
					rounds += k.eachCall(t, killPoint{verb: v, daemon: daemon, after: when == "after"})
				})
			}
		}
	}
	t.Logf("%d kills: %v", rounds, k.became)
}

// eachCall kills at one call after the other, and returns how many there are.
func (k *killer) eachCall(t *testing.T, p killPoint) (n int) {
	t.Helper()
	for n = 1; n <= harness.MostCalls; n++ {
		if p.n, p.away = n, k.away(); !k.round(t, p) {
			break
		}
	}
	if n == 1 || n > harness.MostCalls {
		t.Errorf("%s makes %d calls", p.verb.name, n-1)
	}
	return n - 1
}

// TestKilledMoves does the same at calls chosen by chance, and at random
// instants, with containers that live on when dockerd ends, as often as
// BALEEN_KILL_ROUNDS says. Not by default: containerd, killed while it starts a
// container, can leave one half started that dockerd takes for a running one.
func TestKilledMoves(t *testing.T) {
	if os.Getenv("BALEEN_KILL_ROUNDS") == "" {
		t.Skip("kills at random instants are made if BALEEN_KILL_ROUNDS has their number; TestKilledAtEachCall kills at each call")
	}
	rounds := harness.KillRounds(t)
	k := newKiller(t, true, harness.SeededRand(t))
	for range rounds {
		v := killVerbs[k.random.IntN(len(killVerbs))]
		t.Run(v.name, func(t *testing.T) {
			k.learn(t, v)
			k.round(t, k.somewhere(v))
		})
	}
	t.Logf("%d kills: %v", rounds, k.became)
}

// somewhere is a point of a verb by chance: every third time at a call, and
// otherwise at any instant.
func (k *killer) somewhere(v killVerb) killPoint {
	p := killPoint{verb: v, daemon: stack.Dockerd, after: k.random.IntN(2) == 0, away: k.away()}
	if k.random.IntN(2) == 0 {
		p.daemon = stack.Containerd
	}
	if k.random.IntN(3) == 0 {
		p.n = 1 + k.random.IntN(k.calls[v.name])
	} else {
		p.wait = time.Duration(k.random.Int64N(int64(k.lasts[v.name] * 5 / 4)))
	}
	return p
}
