package snapshotter_test

import (
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/merge"
)

var (
	mergeSeed   = flag.Uint64("merge.seed", 0, "seed of the first random merge; 0 for another one each time")
	mergeRounds = flag.Uint64("merge.rounds", 100, "how many random merges to do")
)

// TestRandomMerges compares merges of random changes with a model that has the
// three trees in memory.
func TestRandomMerges(t *testing.T) {
	needRoot(t)
	first := *mergeSeed
	if first == 0 {
		first = rand.Uint64() >> 32
	}
	t.Logf("the first seed is %d", first)
	conflicts := 0
	for seed := first; seed < first+*mergeRounds; seed++ {
		n, ok := randomMerge(t, seed)
		if !ok {
			t.Fatalf("to repeat: go test ./snapshotter -run TestRandomMerges -merge.seed %d -merge.rounds 1", seed)
		}
		conflicts += n
	}
	t.Logf("%d conflicts in %d merges", conflicts, *mergeRounds)
	if *mergeRounds >= 50 && conflicts == 0 {
		t.Error("no merge had a conflict")
	}
}

func randomMerge(t *testing.T, seed uint64) (conflicts int, ok bool) {
	t.Helper()
	u := randomUpgrade(t, rand.New(rand.NewPCG(seed, 1)))
	defer os.RemoveAll(u.dir)
	policies := uint32(seed % 4) // keep, image, or by path
	decide := func(p string) merge.Policy {
		if policies < 2 {
			return merge.Policy(policies)
		}
		return merge.Policy((crc32.ChecksumIEEE([]byte(p)) + policies) % 2)
	}
	var keep []string
	if seed%5 == 0 {
		keep = u.somePath(t, int(seed/5%1000))
	}
	var got []string
	sealed, err := u.merge(t, "sealed", &merge.Changes{Decide: decide, Keep: keep, Report: func(c merge.Conflict) {
		if c.Under == "" {
			got = append(got, c.Path+" "+c.Winner.String())
		}
	}})
	if err != nil {
		t.Error(err)
		return 0, false
	}
	ok = failsOnAll(t, u, keep, got)
	model := &mergeModel{decide: decide, changed: map[string]bool{}, keep: strings.Join(keep, "")}
	live := append(slices.Clone(u.container.Uppers), u.old...)
	told := *u.container
	told.Also = keep
	if _, err := told.Walk(t.Context(), func(c *changes.Change) error { model.changed[c.Path] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	o, c, n := u.scan(t, u.old), u.scan(t, live), u.scan(t, u.new)
	want, _ := model.merge(".", o, c, n)
	slices.Sort(model.conflicts)
	slices.Sort(got)
	if !slices.Equal(model.conflicts, got) {
		ok = false
		t.Errorf("conflicts are %q, want %q", got, model.conflicts)
	}
	if a, b := want.list(), u.scan(t, sealed).list(); a != b {
		t.Errorf("got\n%s\nwant\n%s", b, a)
		ok = false
	}
	if !ok {
		t.Logf("keep %q, old image\n%s\ncontainer\n%s\nits changes %q\n\nnew image\n%s", keep, o.list(), c.list(), slices.Sorted(maps.Keys(model.changed)), n.list())
	}
	return len(got), ok
}

// somePath is one that the container has; none if it has none.
func (u *upgrade) somePath(t *testing.T, choice int) []string {
	t.Helper()
	merged := filepath.Join(u.dir, "chosen")
	mountOverlay(t, merged, u.options, "", "", append(slices.Concat(u.container.Uppers, u.old), makeDirs(t, u.dir, "nothing", 0)))
	defer unmount(t, merged)
	if path := existing(merged, choice, ""); path != "" {
		return []string{strings.TrimPrefix(path, "/")}
	}
	return nil
}

// failsOnAll checks that a merge that fails has met the conflicts that another
// one has decided.
func failsOnAll(t *testing.T, u *upgrade, keep, decided []string) bool {
	t.Helper()
	var met []string
	m := &merge.Changes{
		Container: u.container, New: u.new, Keep: keep,
		Decide: func(string) merge.Policy { return merge.Fail },
		Report: func(c merge.Conflict) { met = append(met, c.Path) },
	}
	_, err := m.Walk(t.Context(), func(*changes.Change) error { return nil })
	var want []string
	for _, line := range decided {
		want = append(want, line[:strings.LastIndex(line, " ")])
	}
	if errdefs.IsConflict(err) != (len(want) > 0) || !slices.Equal(met, want) {
		t.Errorf("a merge to fail gave %v, with conflicts %q, want %q", err, met, want)
		return false
	}
	return true
}

// randomUpgrade makes images and a container that have much in common.
func randomUpgrade(t *testing.T, r *rand.Rand) *upgrade {
	t.Helper()
	u := &upgrade{dir: tempDir(t), options: pickOne(r, []string{"", "redirect_dir=on", "redirect_dir=on,metacopy=on"})}
	base, again := makeDirs(t, u.dir, "base", 0), makeDirs(t, u.dir, "again", 0)
	randomOps(r, 25).do(base)
	u.old = u.random(t, "old", "", []string{base}, randomOps(r, 6))
	switch r.IntN(3) {
	case 0:
		u.new = u.old
	case 1:
		u.new = []string{base}
	default:
		shell(t, again, "cp -a ../base0/. .")
		u.new = []string{again}
	}
	common := randomOps(r, r.IntN(4))
	u.new = u.random(t, "new", "", u.new, slices.Concat(randomOps(r, r.IntN(6)), common, randomOps(r, r.IntN(12))))
	live := u.random(t, "upper", u.options, u.old, slices.Concat(common, randomOps(r, r.IntN(12))))
	if r.IntN(2) == 0 {
		live = u.random(t, "second", u.options, live, randomOps(r, 5))
	}
	u.container = &changes.Container{Overlay: changes.Overlay{Uppers: live[:len(live)-len(u.old)], Lowers: u.old}}
	return u
}

// random does operations in a new layer on others.
func (u *upgrade) random(t *testing.T, name, options string, below []string, ops operations) []string {
	t.Helper()
	upper, merged := makeDirs(t, u.dir, name, 0), filepath.Join(u.dir, "merged")
	mountOverlay(t, merged, options, upper, makeDirs(t, u.dir, name+"-work", 0), below)
	defer unmount(t, merged)
	ops.do(merged)
	return append([]string{upper}, below...)
}

func pickOne[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// operations change a tree. Those that cannot be done do nothing.
type operations []func(root string)

func (o operations) do(root string) {
	for _, op := range o {
		op(root)
	}
}

func randomOps(r *rand.Rand, n int) operations {
	ops := make(operations, n)
	for i := range ops {
		ops[i] = randomOp(r)
	}
	return ops
}

// randomOp is one of few operations on one of few paths, so that those of the
// container and of the image often meet.
func randomOp(r *rand.Rand) func(root string) {
	path, other := randomPath(r), randomPath(r)
	text := pickOne(r, []string{"x", "y", "zz", ""})
	mode := pickOne(r, []uint32{0o600, 0o644, 0o700, 0o755})
	owner := pickOne(r, []int{0, 7})
	sec := pickOne(r, []int64{1_000_000_000, 1_500_000_000})
	verb := pickOne(r, []string{
		"write", "write", "write", "write", "make", "make", "make", "remove", "again", "over", "rename", "rename", "link", "link",
		"symlink", "device", "chmod", "chmod", "chown", "touch", "touch", "attribute", "open",
	})
	choice := r.IntN(1 << 16)
	return func(root string) {
		at, to := filepath.Join(root, path), filepath.Join(root, other)
		if choice%3 > 0 {
			at = filepath.Join(root, existing(root, choice, path))
		}
		switch verb {
		case "write":
			_ = os.MkdirAll(filepath.Dir(at), 0o755)
			_ = os.WriteFile(at, []byte(text), 0o644)
		case "make":
			_ = os.MkdirAll(at, 0o755)
		case "remove":
			_ = os.RemoveAll(at)
		case "again":
			_ = replace(at, func() error { return os.MkdirAll(filepath.Join(at, "a"), 0o755) })
		case "over":
			_ = replace(at, func() error { return os.WriteFile(at, []byte(text), 0o644) })
		case "rename":
			_ = os.Rename(at, to)
		case "link":
			_ = os.Link(at, to)
		case "symlink":
			_ = os.Symlink("to-"+text, at)
		case "device": // a pipe would make others wait
			_ = unix.Mknod(at, unix.S_IFCHR|mode, int(unix.Mkdev(1, 3)))
		case "chmod":
			_ = unix.Fchmodat(unix.AT_FDCWD, at, mode, unix.AT_SYMLINK_NOFOLLOW)
		case "chown":
			_ = os.Lchown(at, owner, owner)
		case "touch":
			ts := []unix.Timespec{{Sec: sec}, {Sec: sec}}
			_ = unix.UtimesNanoAt(unix.AT_FDCWD, at, ts, unix.AT_SYMLINK_NOFOLLOW)
		case "attribute":
			_ = unix.Lsetxattr(at, "user.k", []byte(text), 0)
		case "open": // copies up
			if fd, err := unix.Open(at, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				_ = unix.Close(fd)
			}
		}
	}
}

// existing is the path of something below root, or else one that is given.
func existing(root string, choice int, otherwise string) string {
	var paths []string
	_ = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && path != root {
			paths = append(paths, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if len(paths) == 0 {
		return otherwise
	}
	return paths[choice%len(paths)]
}

func randomPath(r *rand.Rand) string {
	names := make([]string, 1+r.IntN(3))
	for i := range names {
		names[i] = pickOne(r, []string{"a", "b", "c"})
	}
	return strings.Join(names, "/")
}

// replace removes what is at a path, if it is there, and puts something else in
// its place.
func replace(path string, how func() error) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return how()
}

// scan reads the merged view of layers.
func (u *upgrade) scan(t *testing.T, layers []string) *node {
	t.Helper()
	merged := filepath.Join(u.dir, "scanned")
	mountOverlay(t, merged, u.options, "", "", append(slices.Clone(layers), makeDirs(t, u.dir, "nothing", 0)))
	defer unmount(t, merged)
	u.scans++
	n, err := scanNode(merged, u.scans)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scanNode reads a tree. A file that two trees have by sharing a layer is two.
func scanNode(path string, tree int) (*node, error) {
	n := &node{tree: tree}
	if err := unix.Lstat(path, &n.stat); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	value := make([]byte, 64)
	if size, err := unix.Lgetxattr(path, "user.k", value); err == nil {
		n.attribute = "=" + string(value[:size])
	}
	var err error
	switch n.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		var text []byte
		text, err = os.ReadFile(path)
		n.data = string(text)
	case unix.S_IFLNK:
		n.data, err = os.Readlink(path)
	case unix.S_IFDIR:
		err = n.scanBelow(path, tree)
	}
	return n, err
}

func (n *node) scanBelow(path string, tree int) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	n.below = map[string]*node{}
	for _, e := range entries {
		if n.below[e.Name()], err = scanNode(filepath.Join(path, e.Name()), tree); err != nil {
			return err
		}
	}
	return nil
}
