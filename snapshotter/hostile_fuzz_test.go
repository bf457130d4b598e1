package snapshotter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/scratch"
	"github.com/baleen-project/baleen/snapshotter"
)

// hostileYard is where executions happen: images, a container's uppers, and around
// them what nobody may touch.
type hostileYard struct {
	root, run     string
	lowers, newer []string
	mapped        [][]string // lowers as a container sees them, by mapping
	maps          []idmap.Map
}

func newHostileYard(f testing.TB) *hostileYard {
	f.Helper()
	root := scratch.Dir(f)
	y := &hostileYard{root: root, run: filepath.Join(root, "run")}
	for _, name := range []string{"run", "outside", "l0", "l1", "n0", "w"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	y.lowers = []string{filepath.Join(root, "l1"), filepath.Join(root, "l0")}
	y.newer = []string{filepath.Join(root, "n0"), filepath.Join(root, "l0")}
	make := func(name, dir string) fsops.Op { return fsops.Op{Verb: name, Path: dir, Text: "lower", N: 5} }
	for dir, ops := range map[string][]fsops.Op{
		"outside": {make("create", "f"), make("mkdir", "a"), make("create", "a/f")},
		"l0": {
			make("mkdir", "a"), make("create", "a/f"), make("mkdir", "a/b"), make("create", "a/b/g"), make("mkdir", "d"), make("create", "d/x"), make("mkdir", "d/e"), make("create", "f"),
			make("create", "g"), {Verb: "link", Path: "a/f", To: "d/linked"}, {Verb: "symlink", Path: "link", To: "../outside/f"}, {Verb: "fifo", Path: "fifo"}, {Verb: "setcap", Path: "d/x"}, {Verb: "chmod", Path: "g", N: 0o4711},
		},
		"l1": {make("mkdir", "a"), {Verb: "create", Path: "a/f", Text: "upper", N: 7}, make("mkdir", "d"), make("create", "d/f"), {Verb: "setxattr", Path: "d/f", To: "user.k", Text: "v"}},
		"n0": {make("mkdir", "a"), {Verb: "create", Path: "a/f", Text: "newer", N: 9}, make("create", "d"), make("mkdir", "n"), make("create", "n/x")},
	} {
		if done, err := fsops.Perform(filepath.Join(root, dir), ops); err != nil || done != len(ops) {
			f.Fatalf("%s: %d of %d operations: %v", dir, done, len(ops), err)
		}
	}
	if err := unix.Mknod(filepath.Join(root, "l1/g"), unix.S_IFCHR, 0); err != nil {
		f.Fatal(err)
	}
	y.mapped, y.maps = [][]string{y.lowers}, []idmap.Map{{}}
	for i, ranges := range hostileMappings[1:] {
		m, err := idmap.Parse(ranges, ranges)
		if err != nil {
			f.Fatal(err)
		}
		var lowers []string
		for j, lower := range y.lowers {
			lowers = append(lowers, filepath.Join(root, fmt.Sprint("m", i, "-", j)))
			mapLower(f, lower, lowers[j], m)
		}
		y.maps, y.mapped = append(y.maps, m), append(y.mapped, lowers)
	}
	return y
}

// mapLower copies a lower layer, all of which is root's, and gives it to the root of a
// user namespace: so its container sees it.
func mapLower(f testing.TB, lower, mapped string, m idmap.Map) {
	f.Helper()
	if out, err := exec.Command("cp", "-a", lower, mapped).CombinedOutput(); err != nil {
		f.Fatalf("%v: %s", err, out)
	}
	owner, err := m.ToHost(0, idmap.UserID)
	if err != nil {
		f.Fatal(err)
	}
	err = filepath.WalkDir(mapped, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err = errors.Join(err, unix.Lstat(path, &st)); err != nil {
			return err
		}
		caps := make([]byte, 64)
		n, capable := unix.Lgetxattr(path, "security.capability", caps)
		err = os.Lchown(path, int(owner), int(owner))
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
			err = unix.Chmod(path, st.Mode&0o7777)
		}
		if err == nil && capable == nil {
			err = unix.Lsetxattr(path, "security.capability", caps[:n], 0)
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
}

// print is all that the kernel keeps of the files below folders, but for times of
// access.
func (y *hostileYard) print(t *testing.T, folders ...string) (sum uint64) {
	t.Helper()
	h := fnv.New64a()
	for _, folder := range folders {
		fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		printDir(t, h, fd)
	}
	return h.Sum64()
}

func printDir(t *testing.T, h interface{ Write([]byte) (int, error) }, fd int) {
	t.Helper()
	dir := os.NewFile(uintptr(fd), "directory")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, name, st.Ino, st.Mode, st.Nlink, st.Uid, st.Gid, st.Rdev, st.Size, st.Blocks, st.Mtim, st.Ctim)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			printDir(t, h, sub)
		}
	}
}

func (y *hostileYard) dir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(y.run, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mount shows layers, of which the first is written if there is a folder for the
// kernel to work in. It returns "" if the kernel does not take them.
func (y *hostileYard) mount(t *testing.T, name, options, work string, layers []string) string {
	t.Helper()
	target := y.dir(t, name)
	data := "index=off,xino=off,lowerdir=" + strings.Join(layers[1:], ":") + ",upperdir=" + layers[0] + ",workdir="
	flags := uintptr(0)
	if work == "" {
		work, flags = y.dir(t, name+"-work"), unix.MS_RDONLY
	}
	if data += work; options != "" {
		data += "," + options
	}
	if err := unix.Mount("overlay", target, "overlay", flags, data); err != nil {
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ESTALE) {
			t.Fatalf("mount overlay with %s: %v", data, err)
		}
		return ""
	}
	return target
}

// FuzzHostileUpper walks, seals, splits and merges whatever a container, or who
// has its disk, can leave in its uppers. None of it panics, leaves a file open,
// or touches a layer or what is beside them. An error is of a class; without one
// the result shows what the kernel shows of the container.
func FuzzHostileUpper(f *testing.F) {
	for _, seed := range hostileSeeds() {
		f.Add(seed)
	}
	y := newHostileYard(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 400 {
			y.execute(t, parse(data))
		}
	})
}

func (y *hostileYard) execute(t *testing.T, h hostileUpper) {
	t.Helper()
	defer scratch.Empty(t, y.run)
	uppers, ok := y.make(t, h)
	if !ok {
		return
	}
	watched := append([]string{filepath.Join(y.root, "outside"), y.newer[0]}, append(slices.Clone(uppers), y.lowers...)...)
	watched = append(watched, y.mapped[h.mapping]...)
	before, open := y.print(t, watched...), scratch.Descriptors(t)
	c := &changes.Container{Overlay: changes.Overlay{Uppers: uppers, Lowers: y.lowers, IDs: y.maps[h.mapping], Mapped: len(uppers)}}
	sealed := y.seal(t, c, "sealed")
	chain, over := y.split(t, c, false), y.split(t, c, true)
	merged := y.merge(t, c, h)
	if now := scratch.Descriptors(t); now != open {
		t.Errorf("%d files are open that were not before", now-open)
	}
	if now := y.print(t, watched...); now != before {
		t.Error("a layer was changed, or what is beside it")
	}
	view := y.mount(t, "view", h.options, "", append(slices.Clone(uppers), y.mapped[h.mapping]...))
	if view != "" {
		y.compare(t, h, "sealed", view, sealed, y.lowers)
		y.compare(t, h, "split", view, chain, y.lowers)
		y.compare(t, h, "over", view, over, y.lowers)
		if !h.newer {
			y.compare(t, h, "merged", view, merged, y.lowers)
		}
		y.unmount(t, view)
	}
	if t.Failed() {
		t.Logf("in the container: %v, options %q, mapping %q\n%v", h.mounted, h.options, hostileMappings[h.mapping], h.steps)
	}
}

func (y *hostileYard) unmount(t *testing.T, target string) {
	t.Helper()
	if err := unix.Unmount(target, 0); err != nil {
		t.Errorf("unmount %s: %v", target, err)
	}
}

// make makes the uppers, the topmost first.
func (y *hostileYard) make(t *testing.T, h hostileUpper) (uppers []string, ok bool) {
	t.Helper()
	for i := range 2 {
		upper := y.dir(t, fmt.Sprint("u", i))
		uppers = append([]string{upper}, uppers...)
		at := upper
		if h.mounted {
			at = y.mount(t, fmt.Sprint("m", i), h.options, y.dir(t, fmt.Sprint("w", i)), append(slices.Clone(uppers), y.mapped[h.mapping]...))
		}
		var failed error
		for _, s := range h.steps {
			if s.upper == i && failed == nil {
				failed = s.perform(at)
			}
		}
		if h.mounted {
			y.unmount(t, at)
		}
		if failed != nil {
			return nil, false // the file system is full
		}
	}
	return uppers, true
}

// seal returns nil if the changes cannot be sealed.
func (y *hostileYard) seal(t *testing.T, c changes.Walker, name string) []string {
	t.Helper()
	sealed := y.dir(t, name)
	stats, err := snapshotter.Seal(t.Context(), c, sealed)
	if err != nil {
		checkHostile(t, "seal", err)
		return nil
	}
	var layer bytes.Buffer
	if _, err := tarlayer.Write(t.Context(), &layer, sealed, tarlayer.Options{Root: stats.Root}); err != nil {
		checkHostile(t, "write the layer of what was sealed", err)
	}
	return []string{sealed}
}

// split returns the layers of each upper, unpacked into a folder each, as snapshots,
// or over each other into one, as a restore does it; nil if they cannot be made.
func (y *hostileYard) split(t *testing.T, c *changes.Container, over bool) (stack []string) {
	t.Helper()
	for i, part := range c.Split() {
		var layer bytes.Buffer
		if _, err := tarlayer.WriteChanges(t.Context(), &layer, part, tarlayer.Options{Root: true}); err != nil {
			checkHostile(t, "write changes", err)
			return nil
		}
		opts := apply.Options{Overlay: true, Root: true, Over: over && i > 0, Lowers: c.Lowers}
		if !opts.Over {
			opts.Lowers = append(slices.Clone(stack), c.Lowers...)
			stack = append([]string{y.dir(t, fmt.Sprint("part", i, over))}, stack...)
		}
		if _, _, err := apply.ToDir(t.Context(), &layer, stack[0], opts); err != nil {
			t.Errorf("unpack what was written: %v", err)
			return nil
		}
	}
	return stack
}

func (y *hostileYard) merge(t *testing.T, c *changes.Container, h hostileUpper) []string {
	t.Helper()
	m := &merge.Changes{Container: c, New: y.lowers, Decide: func(p string) merge.Policy {
		if !h.newer {
			t.Errorf("there is a conflict at %q with the container's own image", p)
		}
		return merge.Policy((len(p) + int(h.decides)) % 2)
	}}
	if h.newer {
		m.New = y.newer
	}
	return y.seal(t, m, "merged")
}

// checkHostile fails the test for an error that does not say what of the files is
// not as it can be.
func checkHostile(t *testing.T, what string, err error) {
	t.Helper()
	for _, class := range []error{diff.ErrUnsupported, diff.ErrReserved, unix.ENAMETOOLONG, unix.ENOSPC, context.Canceled} {
		if errors.Is(err, class) {
			return
		}
	}
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("%s: an error of no class: %v", what, err)
	}
}

// compare compares what the kernel shows of a container with what was made of its
// changes, on its image.
func (y *hostileYard) compare(t *testing.T, h hostileUpper, what, view string, made, lowers []string) {
	t.Helper()
	if made == nil {
		return
	}
	check := y.mount(t, what+"-view", "", "", append(slices.Clone(made), lowers...))
	if check == "" {
		t.Errorf("%s: the kernel does not mount what was made", what)
		return
	}
	defer y.unmount(t, check)
	// A layer cannot tell that the root has lost an attribute. A restore brings the
	// root back by itself.
	opts := compare.Options{IgnoreRoot: what == "over", MapA: y.maps[h.mapping].Inside}
	opts.Accept = func(d compare.Difference) bool {
		switch d.Aspect {
		case compare.ModTime: // a snapshot's root has the time of its making
			return d.Path == "/"
		case compare.HardLinks: // of what is shown under another name than it has
			return h.has("redirect") || h.mounted && h.options != "" && h.has("rename", "exchange")
		case compare.Size, compare.Content, compare.Holes: // the kernel takes the size of metadata without data on trust
			return !h.mounted && h.has("metacopy")
		}
		return false
	}
	err := compare.Trees(t.Context(), view, check, opts)
	var differ *compare.TreeDifference
	if errors.As(err, &differ) || err != nil && h.mounted && !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("%s: %v", what, err)
	}
}
