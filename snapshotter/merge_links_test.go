package snapshotter_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/baleen-project/baleen/diff/merge"
)

// TestRandomLinks merges random changes into images that have links in place of
// directories. No such merge fails, and what the new image has as links, and the container
// did not win, is there.
func TestRandomLinks(t *testing.T) {
	needRoot(t)
	first := *mergeSeed
	if first == 0 {
		first = rand.Uint64() >> 32
	}
	t.Logf("the first seed is %d", first)
	followed := 0
	for seed := first; seed < first+*mergeRounds; seed++ {
		r := rand.New(rand.NewPCG(seed, 2))
		u := randomUpgrade(t, r)
		u.new = u.random(t, "linked", "", u.new, randomLinks(r))
		for _, winner := range []merge.Policy{merge.Keep, merge.Image} {
			_, err := u.merge(t, "sealed-"+winner.String(), &merge.Changes{
				Decide:         func(string) merge.Policy { return winner },
				ReportFollowed: func(string, string) { followed++ },
			})
			if err != nil {
				t.Fatalf("%v\nto repeat: go test ./snapshotter -run TestRandomLinks -merge.seed %d -merge.rounds 1", err, seed)
			}
		}
		if err := os.RemoveAll(u.dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d links followed in %d merges", followed, *mergeRounds)
	if *mergeRounds >= 50 && followed == 0 {
		t.Error("no link was followed")
	}
}

// randomLinks put links in place of what is there.
func randomLinks(r *rand.Rand) operations {
	var ops operations
	for range 1 + r.IntN(4) {
		path, choice := randomPath(r), r.IntN(1<<16)
		target := pickOne(r, []string{"/a", "/b", "/c", ".", "..", "../..", "../b", "/a/b", "c", "/x"})
		ops = append(ops, func(root string) {
			at := filepath.Join(root, existing(root, choice, path))
			_ = replace(at, func() error { return os.Symlink(target, at) })
			_ = os.MkdirAll(filepath.Join(root, pickOne(rand.New(rand.NewPCG(uint64(choice), 3)), []string{"a", "b", "x/y"})), 0o755) //nolint:gosec // it is positive
		})
	}
	return slices.Clip(ops)
}
