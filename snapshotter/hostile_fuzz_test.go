package snapshotter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/scratch"
	"github.com/baleen-project/baleen/snapshotter"
)

// hostileUpper is a program that makes the uppers of a container, one operation
// after the other, and what is done with them.
type hostileUpper struct {
	// mounted says that the operations are done in the container: by way of a
	// mounted overlay. Without it they are done in the uppers themselves, where
	// nobody but the kernel and who has the disk can do them.
	mounted bool
	options string // of the overlay
	newer   bool   // the container moves to another image, not to its own
	decides byte   // by whom conflicts are decided
	steps   []step
}

// has reports whether an operation of one of these kinds is in the program.
func (h hostileUpper) has(verbs ...string) bool {
	return slices.ContainsFunc(h.steps, func(s step) bool { return slices.Contains(verbs, s.Verb) })
}

// step is an operation in one of two uppers. Verbs that package fsops does not
// know are those of marks, below.
type step struct {
	upper int
	fsops.Op
}

// The values that the fuzzer's bytes choose from.
var (
	// knownPaths are there, or may be made in their place.
	knownPaths   = []string{"a", "a/f", "a/b", "a/b/g", "d", "d/x", "d/e", "d/f", "f", "g", "link", "d/linked", "fifo", "n", "n/e", "moved", "a/n", "n/f", "moved/b", "."}
	hostileDirs  = []string{"", "", "a", "a/b", "d", "n", "n/e", "moved"}
	hostileNames = []string{
		"f", "g", "x", "b", "e", "a", "d", "n", "link", "moved", ".wh.f", ".wh..wh..opq", "new\nline", "\xff\xfe", `co:lon,back\slash`, "-", "...",
		strings.Repeat("l", 255), ".",
	}
	hostileVerbs = []string{
		"create", "mkdir", "mkdir", "write", "truncate", "sparse", "unlink", "remove-all", "rename", "exchange", "link", "link", "symlink", "mknod", "fifo", "socket",
		"chmod", "chown", "utimes", "forge", "setxattr", "setcap", "setacl", "open", "nest", "crowd",
	}
	// markVerbs are for the uppers themselves.
	markVerbs    = []string{"whiteout", "whiteout", "opaque", "opaque", "redirect", "redirect", "metacopy", "mark", "xwhiteout", "defaultacl"}
	hostileTexts = []string{"x", "", "y", "n", "a", "/a", "/a/b", "../a", "/../../outside", "/", "b", "/nowhere", "/a/./b", "/a/f", "f", strings.Repeat("/a", 200), "a/b", "/d", "/d/e", "\x00", "..", "."}
	hostileMarks = []string{"origin", "impure", "nlink", "upper", "protattr", "uuid", "whiteout", "opaque.x", "overlay.opaque"}
	hostileModes = []int64{0o644, 0o755, 0, 0o4755, 0o2775, 0o1777, 0o7777}
	hostileIDs   = []int64{0, 7, 100000, 4_294_967_294}
	hostileTimes = []int64{0, 1, 1_000_000_000, -86400, 4_294_967_296, 253_402_300_800}
	hostileSizes = []int64{0, 1, 5, 4096, 70_000, 1 << 20, 40 << 20}
)

// bytecode are the fuzzer's bytes, of which each decides one thing.
type bytecode []byte

func pickFrom[T any](b *bytecode, from []T) T { return from[b.below(len(from))] }

func (b *bytecode) below(n int) int {
	if len(*b) == 0 {
		return 0
	}
	c := (*b)[0]
	*b = (*b)[1:]
	return int(c) % n
}

func (b *bytecode) path() string {
	if len(*b) > 0 && (*b)[0] < 192 {
		return pickFrom(b, knownPaths)
	}
	return strings.TrimPrefix(pickFrom(b, hostileDirs)+"/"+pickFrom(b, hostileNames), "/")
}

// parse reads a program. It ends with the bytes, or after 40 operations.
func parse(data []byte) (h hostileUpper) {
	b := bytecode(data)
	how := b.below(256)
	h.mounted, h.newer = how&1 == 0, how&2 != 0
	h.options = []string{"", "redirect_dir=on", "redirect_dir=on,metacopy=on", ""}[how>>2&3]
	h.decides = byte(how >> 4)
	verbs := hostileVerbs
	if !h.mounted {
		verbs = slices.Concat(hostileVerbs, markVerbs)
	}
	for len(b) > 0 && len(h.steps) < 40 {
		s := step{upper: b.below(4) / 3, Op: fsops.Op{Verb: pickFrom(&b, verbs), Path: b.path(), Text: "x"}}
		switch s.Verb {
		case "rename", "exchange", "link":
			s.To = b.path()
		case "symlink":
			s.To = pickFrom(&b, hostileTexts[2:])
		case "opaque", "redirect", "metacopy":
			s.Text = pickFrom(&b, hostileTexts)
		case "mark":
			s.To, s.Text = pickFrom(&b, hostileMarks), pickFrom(&b, hostileTexts)
		case "create", "write", "truncate", "sparse":
			s.N = pickFrom(&b, hostileSizes)
			if s.Verb != "truncate" && s.Verb != "sparse" {
				s.N = min(s.N, 70_000)
			}
		case "chmod":
			s.N = pickFrom(&b, hostileModes)
		case "chown":
			s.N = pickFrom(&b, hostileIDs)
		case "utimes":
			s.N = pickFrom(&b, hostileTimes)
		case "mknod":
			s.N = pickFrom(&b, []int64{3, 5, 7})
		case "setxattr":
			s.To = pickFrom(&b, []string{"user.k", "user.overlay.opaque", "trusted.k", "user.=", "security.k"})
		case "nest":
			s.N = pickFrom(&b, []int64{2, 9, 25})
		}
		h.steps = append(h.steps, s)
	}
	return h
}

// perform does an operation; one that cannot be done is left out.
func (s step) perform(root string) error {
	do, ok := marks[s.Verb]
	if !ok {
		_, err := fsops.Perform(root, []fsops.Op{s.Op})
		return err
	}
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	dir, name := filepath.Split(s.Path)
	at, err := unix.Openat2(fd, "./"+dir, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil //nolint:nilerr // it is not there
	}
	defer unix.Close(at)
	do(at, name, s.Op)
	return nil
}

// setMark sets an attribute of something that may be a link.
func setMark(at int, name, attr, value string) {
	_ = unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", at, name), attr, []byte(value), 0)
}

// marks are operations that make marks of an overlay, sense or not.
var marks = map[string]func(at int, name string, op fsops.Op){
	"whiteout": func(at int, name string, _ fsops.Op) { _ = unix.Mknodat(at, name, unix.S_IFCHR, 0) },
	"opaque":   func(at int, name string, op fsops.Op) { setMark(at, name, "trusted.overlay.opaque", op.Text) },
	"redirect": func(at int, name string, op fsops.Op) { setMark(at, name, "trusted.overlay.redirect", op.Text) },
	"metacopy": func(at int, name string, op fsops.Op) {
		setMark(at, name, "trusted.overlay.metacopy", strings.TrimPrefix(op.Text, "x"))
	},
	"mark":      func(at int, name string, op fsops.Op) { setMark(at, name, "trusted.overlay."+op.To, op.Text) },
	"xwhiteout": func(at int, name string, _ fsops.Op) { setMark(at, name, "trusted.overlay.whiteout", "") },
	"defaultacl": func(at int, name string, _ fsops.Op) {
		setMark(at, name, "system.posix_acl_default", "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x07\x00\x00\x00\x04\x00\x00\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff")
	},
	"nest": func(at int, name string, op fsops.Op) {
		fd, err := unix.Dup(at)
		for ; err == nil && op.N > 0; op.N-- {
			var next int
			if err = unix.Mkdirat(fd, name, 0o755); err == nil {
				next, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			}
			if err == nil {
				_ = unix.Close(fd)
				fd, name = next, strings.Repeat("n", 200)
			}
		}
		_ = unix.Close(fd)
	},
	"crowd": func(at int, _ string, _ fsops.Op) {
		for i := range 30 {
			_ = unix.Mknodat(at, fmt.Sprint("crowd", i), unix.S_IFREG|0o644, 0)
		}
	},
}

// hostileYard is where executions happen: images, a container's uppers, and around
// them what nobody may touch.
type hostileYard struct {
	root, run     string
	lowers, newer []string
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
	return y
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

// assemble is the reverse of parse for operations that need no more than a verb, a
// path and another path or a text.
func assemble(how byte, program string) (data []byte) {
	data = append(data, how)
	verbs := slices.Concat(hostileVerbs, markVerbs)
	at := func(of []string, what string) byte {
		i := slices.Index(of, what)
		if i < 0 {
			panic("there is no " + what)
		}
		return byte(i)
	}
	for line := range strings.SplitSeq(program, ";") {
		words := strings.Fields(line)
		upper := byte(0)
		if words[0] == "then" { // in the upper on top
			words, upper = words[1:], 3
		}
		data = append(data, upper, at(verbs, words[0]), at(knownPaths, words[1]))
		switch words[0] {
		case "rename", "exchange", "link":
			data = append(data, at(knownPaths, words[2]))
		case "opaque", "redirect", "metacopy":
			data = append(data, at(hostileTexts, words[2]))
		case "create", "write", "truncate", "sparse":
			data = append(data, 2)
		case "mkdir", "unlink", "remove-all", "whiteout", "open", "forge", "crowd", "fifo", "socket", "xwhiteout", "setcap", "setacl", "defaultacl":
		default:
			data = append(data, 1)
		}
	}
	return data
}

// hostileSeeds are programs after which an upper has marks of each kind, made by
// the kernel and by hand, and some without sense.
func hostileSeeds() (seeds [][]byte) {
	for _, program := range []string{
		"remove-all a;mkdir a;create a/n", "remove-all a;mkdir a;then create a/f", "create d/f;then remove-all d;then mkdir d;then mkdir d/e", "unlink f;then create f;then unlink a/f",
		"rename a moved", "rename a moved;create moved/b;then rename moved n;then unlink n/f", "rename a/b moved;mkdir a/b;then create a/b/g", "rename d a/n;then remove-all a",
		"link f n;then write n", "link a/f n;link n moved;then unlink a/f;then chmod n", "link d/linked f;chmod d/linked", "chmod a/f;chown g;then utimes a/f", "open d/x;open f;then open g",
		"exchange a d", "exchange a/f d;then rename d/e n", "unlink link;mkdir link;symlink n", "remove-all d;symlink d;then unlink d;then mkdir d", "setcap d/x;setxattr d/f;setacl a;chown d/x",
		"sparse f;truncate a/f;forge d/x;write a/b/g", "nest n;then rename n moved", "crowd n;then remove-all a;then crowd a", "fifo n;socket moved;mknod a/n;unlink fifo;then socket fifo", "utimes .;chmod .;chown .",
		"defaultacl a;create a/n;mkdir n;defaultacl n;create n/f;chmod n/f", "remove-all a/b;then mkdir a/b;then rename a/b n;then mkdir a/b",
	} {
		for how := range byte(8) {
			if strings.Contains(program, "defaultacl") && how&1 == 0 {
				continue
			}
			seeds = append(seeds, assemble(how<<1|how>>2&1, program))
		}
	}
	for _, program := range []string{
		"mkdir a;opaque a y;create a/n", "mkdir a;opaque a x;whiteout a/f", "mkdir n;opaque n y;whiteout n/f", "whiteout a;then mkdir a;then create a/n", "whiteout a;then mkdir a;then opaque a y",
		"mkdir moved;redirect moved /a;whiteout a", "mkdir moved;redirect moved a;then create moved/b", "mkdir moved;redirect moved /nowhere", "mkdir moved;redirect moved ../a", "mkdir a;redirect a /../../outside",
		"mkdir a;redirect a /;create a/n", "mkdir a;mkdir a/b;redirect a/b /d/e;then mkdir a;then mkdir a/b;then create a/b/g", "mkdir a;redirect a /d;then mkdir a;then opaque a n", "create f;metacopy f x",
		"create moved;metacopy moved x;redirect moved /a/f", "create f;metacopy f x;redirect f /../../outside", "mkdir a;create a/f;metacopy a/f y", "create n;xwhiteout n", "mkdir a;opaque a x;create a/f;truncate a/f;xwhiteout a/f",
		"whiteout .", "mkdir a;redirect a b", "mkdir d;redirect d .", "mkdir d;redirect d ..", "mkdir n;redirect n /a/f", "create f;opaque f y", "symlink n;opaque n y", "mkdir a;whiteout a/b;then mkdir a;then mkdir a/b;then create a/b/g",
	} {
		seeds = append(seeds, assemble(1, program), assemble(11, program))
	}
	return seeds
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
	before, open := y.print(t, watched...), scratch.Descriptors(t)
	c := &diff.Container{Overlay: diff.Overlay{Uppers: uppers, Lowers: y.lowers}}
	sealed := y.seal(t, c, "sealed")
	chain := y.split(t, c)
	merged := y.merge(t, c, h)
	if now := scratch.Descriptors(t); now != open {
		t.Errorf("%d files are open that were not before", now-open)
	}
	if now := y.print(t, watched...); now != before {
		t.Error("a layer was changed, or what is beside it")
	}
	view := y.mount(t, "view", h.options, "", append(slices.Clone(uppers), y.lowers...))
	if view != "" {
		y.compare(t, h, "sealed", view, sealed, y.lowers)
		y.compare(t, h, "split", view, chain, y.lowers)
		if !h.newer {
			y.compare(t, h, "merged", view, merged, y.lowers)
		}
		y.unmount(t, view)
	}
	if t.Failed() {
		t.Logf("in the container: %v, options %q\n%v", h.mounted, h.options, h.steps)
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
			at = y.mount(t, fmt.Sprint("m", i), h.options, y.dir(t, fmt.Sprint("w", i)), append(slices.Clone(uppers), y.lowers...))
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
func (y *hostileYard) seal(t *testing.T, c diff.Walker, name string) []string {
	t.Helper()
	sealed := y.dir(t, name)
	stats, err := snapshotter.Seal(t.Context(), c, sealed)
	if err != nil {
		checkHostile(t, "seal", err)
		return nil
	}
	var layer bytes.Buffer
	if _, err := diff.WriteLayer(t.Context(), &layer, sealed, diff.TarOptions{Root: stats.Root}); err != nil {
		checkHostile(t, "write the layer of what was sealed", err)
	}
	return []string{sealed}
}

// split returns the layers of each upper, unpacked; nil if they cannot be made.
func (y *hostileYard) split(t *testing.T, c *diff.Container) (stack []string) {
	t.Helper()
	for i, part := range c.Split() {
		var layer bytes.Buffer
		if _, err := diff.WriteChanges(t.Context(), &layer, part, diff.TarOptions{Root: true}); err != nil {
			checkHostile(t, "write changes", err)
			return nil
		}
		upper := y.dir(t, fmt.Sprint("part", i))
		opts := diff.ApplyOptions{Overlay: true, Root: true, Lowers: append(slices.Clone(stack), c.Lowers...)}
		if _, _, err := diff.Apply(t.Context(), &layer, upper, opts); err != nil {
			t.Errorf("unpack what was written: %v", err)
			return nil
		}
		stack = append([]string{upper}, stack...)
	}
	return stack
}

func (y *hostileYard) merge(t *testing.T, c *diff.Container, h hostileUpper) []string {
	t.Helper()
	m := &diff.Merge{Container: c, New: y.lowers, Decide: func(p string) diff.Policy {
		if !h.newer {
			t.Errorf("there is a conflict at %q with the container's own image", p)
		}
		return diff.Policy((len(p) + int(h.decides)) % 2)
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
	err := diff.CompareTrees(t.Context(), view, check, diff.CompareOptions{Accept: func(d diff.Difference) bool {
		switch d.Aspect {
		case diff.ModTime: // a snapshot's root has the time of its making
			return d.Path == "/"
		case diff.ExtendedAttribute: // the root's are told with its owner and mode alone
			return d.Path == "/"
		case diff.HardLinks: // of what is shown under another name than it has
			return h.has("redirect") || h.mounted && h.options != "" && h.has("rename", "exchange")
		case diff.Size, diff.Content, diff.Holes: // the kernel takes the size of metadata without data on trust
			return !h.mounted && h.has("metacopy")
		}
		return false
	}})
	var differ *diff.TreeDifference
	if errors.As(err, &differ) || err != nil && h.mounted && !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("%s: %v", what, err)
	}
}
