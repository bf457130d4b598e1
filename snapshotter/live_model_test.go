package snapshotter_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/baleen-project/baleen/integration/soak/fsops"
)

var (
	liveSeed = flag.Uint64("live.seed", 0, "seed of the random operations between live seals; 0 for another one each time")
	liveOps  = flag.Int("live.ops", 1000, "how many random operations to do")
)

// TestRandomLiveSeals does random operations, seals again and again between them, and
// compares each seal with what the container was.
func TestRandomLiveSeals(t *testing.T) {
	needRoot(t)
	first := *liveSeed
	if first == 0 {
		first = rand.Uint64() >> 32
	}
	for name, options := range overlays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Logf("to repeat: go test ./snapshotter -run TestRandomLiveSeals/%s -live.seed %d", name, first)
			random := rand.New(rand.NewPCG(first, 3))
			l := newLive(t, tempDir(t), options, imageLayers(t))
			source := fsops.NewSource(random)
			for path, dir := range map[string]bool{"a": true, "a/b": true, "a/b/c": true, "a/one": false, "a/hard": false, "d": true, "d/e": true, "d/x": false, "file": false, "other": false, "second": true, "second/layer": true} {
				source.Know(path, dir)
			}
			var states []string
			var kept int64
			for done := 0; done < *liveOps; {
				n := 1 + random.IntN(40)
				if _, err := fsops.Perform(l.merged, source.Take(n)); err != nil {
					t.Fatal(err)
				}
				done += n
				if random.IntN(2) == 0 {
					age()
				}
				kept += l.seal(t).Kept
				states = append(states, list(t, l.merged))
			}
			for i, want := range states {
				if got := l.revision(t, i+1); got != want {
					t.Fatalf("seal %d of %d shows\n%s\nwant\n%s", i+1, len(states), unlike(got, want), unlike(want, got))
				}
			}
			if kept == 0 {
				t.Error("no seal has left a file out")
			}
			t.Logf("%d seals, which have left out %d files", len(states), kept)
		})
	}
}
