package snapshotter_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/soak/fsops"
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
	mapping int    // of the container's user namespace, among hostileMappings; 0 for none
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
	// hostileMappings are those of user namespaces, "" for none. Some map to ids that
	// are in the namespace as well, or leave out ids that files have.
	hostileMappings = []string{"", "0:100000:65536", "0:7:1,7:0:1,8:200000:9", "0:4294967294:1"}
	hostileSizes    = []int64{0, 1, 5, 4096, 70_000, 1 << 20, 40 << 20}
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
	h.decides, h.mapping = byte(how>>4&1), how>>5%len(hostileMappings)
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
		case "setxattr":
			data = append(data, 0)
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
		"sparse f;truncate a/f;forge d/x;write a/b/g", "nest n;then rename n moved", "crowd n;then remove-all a;then crowd a", "fifo n;socket moved;mknod a/n;unlink fifo;then socket fifo", "utimes .;chmod .;chown .", "chown .;then chown .", "setxattr .;then setxattr .", "then setxattr .", "then setacl .",
		"defaultacl a;create a/n;mkdir n;defaultacl n;create n/f;chmod n/f", "remove-all a/b;then mkdir a/b;then rename a/b n;then mkdir a/b",
	} {
		for how := range byte(8) {
			if strings.Contains(program, "defaultacl") && how&1 == 0 {
				continue
			}
			seeds = append(seeds, assemble(how<<1|how>>2&1|how%4<<5, program))
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
