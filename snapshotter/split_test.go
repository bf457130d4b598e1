package snapshotter_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

var (
	splitSeed   = flag.Uint64("split.seed", 0, "seed of the first random stack; 0 for another one each time")
	splitRounds = flag.Uint64("split.rounds", 60, "how many random stacks to split")
)

// TestRandomSplits splits the random changes of stacked uppers into layers, and
// puts them together again in all ways in which layers are read.
func TestRandomSplits(t *testing.T) {
	needRoot(t)
	first := *splitSeed
	if first == 0 {
		first = rand.Uint64() >> 32
	}
	t.Logf("the first seed is %d", first)
	for seed := first; seed < first+*splitRounds; seed++ {
		randomSplit(t, rand.New(rand.NewPCG(seed, 2)))
		if t.Failed() {
			t.Fatalf("to repeat: go test ./snapshotter -run TestRandomSplits -split.seed %d -split.rounds 1", seed)
		}
	}
}

func randomSplit(t *testing.T, r *rand.Rand) {
	u := &upgrade{dir: tempDir(t), options: pickOne(r, []string{"", "redirect_dir=on", "redirect_dir=on,metacopy=on"})}
	base := makeDirs(t, u.dir, "base", 0)
	randomOps(r, 25).do(base)
	image := u.random(t, "image", "", []string{base}, randomOps(r, 6))
	all := image
	for i := range 2 + r.IntN(3) {
		all = u.random(t, fmt.Sprint("upper", i), u.options, all, randomOps(r, r.IntN(10)))
	}
	c := &changes.Container{Overlay: changes.Overlay{Uppers: all[:len(all)-len(image)], Lowers: image}}
	merged := filepath.Join(u.dir, "live")
	mountOverlay(t, merged, u.options, "", "", append(slices.Clone(all), makeDirs(t, u.dir, "nothing", 0)))
	defer unmount(t, merged)
	checkSplit(t, c, u.dir, merged)
}

// checkSplit makes a layer of each upper, and compares what they give on the
// image with what the container sees: unpacked one by one as snapshots, all into
// one upper, and into a tree.
func checkSplit(t *testing.T, c *changes.Container, dir, merged string) {
	t.Helper()
	dir = makeDirs(t, dir, "split", 0)
	var layers [][]byte
	for _, part := range c.Split() {
		var layer bytes.Buffer
		if _, err := tarlayer.WriteChanges(t.Context(), &layer, part, tarlayer.Options{}); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, layer.Bytes())
	}
	for how, unpack := range map[string]func(*testing.T, string, []string, [][]byte) []string{
		"as snapshots": unpackChain, "into one upper": unpackOver, "into a tree": unpackTree,
	} {
		check := filepath.Join(dir, how)
		stack := unpack(t, makeDirs(t, dir, how+" upper", 0), c.Lowers, layers)
		mountOverlay(t, check, "", "", "", append(stack, makeDirs(t, dir, "nothing", 0)))
		if err := compare.Trees(t.Context(), merged, check, compare.Options{IgnoreRoot: true}); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		noMarks(t, check)
		unmount(t, check)
	}
}

// noMarks fails the test if a tree lists names that cannot be looked up: marks of an
// overlay in a directory that is not merged.
func noMarks(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil {
			_, err = entry.Info()
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func unpackChain(t *testing.T, dir string, lowers []string, layers [][]byte) []string {
	stack := slices.Clone(lowers)
	for i, layer := range layers {
		upper := makeDirs(t, dir, "layer", i)
		unpackTo(t, upper, layer, apply.Options{Overlay: true, Lowers: stack})
		stack = append([]string{upper}, stack...)
	}
	return stack
}

func unpackOver(t *testing.T, dir string, lowers []string, layers [][]byte) []string {
	upper, work := makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "work", 0)
	options := []string{"index=off", "workdir=" + work, "upperdir=" + upper}
	for _, lower := range lowers {
		options = append(options, "lowerdir+="+lower)
	}
	mounts := []mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}
	for i, layer := range layers {
		if _, _, err := apply.ToMounts(t.Context(), bytes.NewReader(layer), mounts, apply.Options{Over: i > 0}); err != nil {
			t.Fatal(err)
		}
	}
	return append([]string{upper}, lowers...)
}

func unpackTree(t *testing.T, dir string, lowers []string, layers [][]byte) []string {
	from, tree := filepath.Join(dir, "image"), makeDirs(t, dir, "tree", 0)
	mountOverlay(t, from, "", "", "", append(slices.Clone(lowers), makeDirs(t, dir, "nothing", 0)))
	defer unmount(t, from)
	if out, err := exec.Command("cp", "-a", from+"/.", tree).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, layer := range layers {
		unpackTo(t, tree, layer, apply.Options{})
	}
	return []string{tree}
}

func unpackTo(t *testing.T, target string, layer []byte, opts apply.Options) {
	t.Helper()
	if _, _, err := apply.ToDir(t.Context(), bytes.NewReader(layer), target, opts); err != nil {
		t.Fatal(err)
	}
}

// TestSplitAroundTheInitLayer: the layers of a stack have of the init layer's
// files only those that an upper has as its own. That such a one is gone a layer
// tells if one below it has it, and not if only the init layer does.
func TestSplitAroundTheInitLayer(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	lower, init := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "init", 0)
	shell(t, lower, "mkdir -p bin etc hidden; echo b > bin/b; echo i > etc/issue; echo h > hidden/file")
	shell(t, init, "touch .dockerenv; mkdir -p etc dev/pts dev/shm hidden; touch etc/hosts etc/hostname etc/mtab; : > hidden/new")
	c := &changes.Container{Overlay: changes.Overlay{Lowers: []string{init, lower}}, Init: true}
	for i, script := range []string{
		"echo mine > etc/mine; rm .dockerenv etc/mtab; chmod 600 etc/hostname; mkdir dev/mine; rm -r dev/pts",
		"rm etc/mine etc/issue; chmod 644 etc/hostname; rm -r dev/shm dev/mine hidden; echo t > etc/hosts; mkdir hidden dev/pts",
		"echo again > etc/issue; rm etc/hosts; touch hidden/file dev/pts/x",
	} {
		upper, merged := makeDirs(t, dir, "upper", i), makeDirs(t, dir, "merged", i)
		mountOverlay(t, merged, "", upper, makeDirs(t, dir, "work", i), append(slices.Clone(c.Uppers), c.Lowers...))
		shell(t, merged, script)
		unmount(t, merged)
		c.Uppers = append([]string{upper}, c.Uppers...)
	}
	var got []string
	for i, part := range c.Split() {
		_, err := part.Walk(t.Context(), func(change *changes.Change) error {
			if !change.IsDir() || change.Kind != changes.Modified {
				got = append(got, fmt.Sprint(i, " ", "AMD"[change.Kind:change.Kind+1], " ", change.Path))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"0 A dev/mine", "0 M etc/hostname", "0 A etc/mine",
		"1 D dev/mine", "1 A dev/pts", "1 M etc/hostname", "1 M etc/hosts", "1 D etc/issue", "1 D etc/mine", "1 D hidden/file",
		"2 A dev/pts/x", "2 D etc/hosts", "2 A etc/issue", "2 A hidden/file",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the layers tell\n%q\nwant\n%q", got, want)
	}
}
