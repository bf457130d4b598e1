package snapshotter_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
)

// image is what the lower layers hold, the first command's below.
var image = []string{`
	mkdir -p a/b/c d/e empty && echo one > a/one && echo two > a/b/two && echo three > a/b/c/three
	echo x > d/x; echo y > d/e/y; ln -s one a/link; ln -s nowhere dangling
	ln a/one a/hard; echo file > file; echo other > other; mkfifo fifo
	touch -d @1000000000 file other; chmod 4755 d/x; chown 1000:1000 d/e
	mkdir gone-in-second && echo 1 > gone-in-second/f`, `
	echo changed > a/b/two; echo second > d/second; mkdir -p second/layer; echo z > second/layer/z`,
}

// sealCases are shell scripts. A line that begins with a colon is done in Go:
// a bare machine lacks the program.
var sealCases = []struct{ name, script string }{
	{"nothing", `true`},
	{"a new file", `echo new > new`},
	{"new directories", `mkdir -p n/e/w && echo 1 > n/e/w/f && touch n/empty`},
	{"a file changed", `echo more >> a/b/two`},
	{"a file deleted", `rm file`},
	{"a directory deleted", `rm -r a`},
	{"a dangling link deleted", `rm dangling`},
	{"a directory made anew, empty", `rm -r a && mkdir a`},
	{"a directory made anew with the same and other names", `rm -r a && mkdir -p a/b && echo 1 > a/one && echo n > a/b/new`},
	{"a file becomes a directory", `rm file && mkdir file && echo in > file/in`},
	{"a directory becomes a file", `rm -r a && echo file > a`},
	{"a directory becomes a link", `rm -r d && ln -s a d`},
	{"a link becomes a directory", `rm a/link && mkdir a/link && touch a/link/f`},
	{"a deletion undone", `rm file && echo file > file`},
	{"a file moved over one of the same size and time", `mv other file`},
	{"a rewrite of the same size and time", `cp -p file /tmp/ref.$$; echo ELIF > file; touch -r /tmp/ref.$$ file; rm /tmp/ref.$$`},
	{"only a mode", `chmod 600 file`},
	{"only an owner", `chown 7:8 file`},
	{"only a time", `touch -d @1111111111 file`},
	{"only an attribute", `: setxattr file user.k v`},
	{"only a directory's time", `touch -d @1111111111 a/b`},
	{"only a directory's mode", `chmod 711 a/b`},
	{"the root's mode", `chmod 700 .`},
	{"a copy-up without a change", `: >> file`},
	{"a mode changed and back", `chmod 600 file; chmod 644 file`},
	{"a new pair of links", `echo l > l1; ln l1 l2; mkdir ld; ln l1 ld/l3`},
	{"a link to a file of the image", `ln file linked`},
	{"a link to a file of the image, then written", `ln file linked; echo w >> linked`},
	{"links broken", `echo broken > a/one`},
	{"a file of several names copied up", `: >> a/one; chmod 600 a/one; chmod 644 a/one`},
	{"a renamed file", `mv a/one a/eins`},
	{"a renamed directory", `mv a z 2>/dev/null || { cp -a a z && rm -r a; }`},
	{"a renamed directory with changes", `mv a z 2>/dev/null || { cp -a a z && rm -r a; }; echo n > z/b/n; rm z/one; mkdir a; echo in > a/in`},
	{"a directory renamed within one", `mv d/e d/f 2>/dev/null || { cp -a d/e d/f && rm -r d/e; }; mv a/b d/ 2>/dev/null || { cp -a a/b d/ && rm -r a/b; }`},
	{"a directory renamed over an empty one", `mv -T d empty 2>/dev/null || { rmdir empty; cp -a d empty; rm -r d; }`},
	{"a socket", `: socket sock`},
	{"a socket in a file's place", `rm file
	: socket file`},
	{"devices and pipes", `mknod c c 1 3; mknod b b 7 0; mkfifo p; rm fifo`},
	{"a sparse file", `truncate -s 64M sparse; echo in the middle | dd of=sparse bs=1M seek=32 conv=notrunc 2>/dev/null`},
	{"setuid after chown", `chown 5:5 d/x; chmod 6755 d/x`},
	{"odd names", `touch "$(printf 'new\nline')" ' blank' -- -dash 'back\slash' 'colon:comma,' "$(printf '\377\376')" '...'`},
	{"old and far times", `touch -d @-86400 old; touch -d @4294967296 far`},
	{"capabilities", `echo c > c
	: setcap c
	: setcap file`},
	{"things made and deleted", `echo t > t; rm t; mkdir -p u/v; rm -r u; echo t > a/t; rm a/t`},
	{"a default access control list", `mkdir acl; mkdir -p acl/old/er; echo o > acl/old/o; chmod 777 acl/old/o
	: setacl acl
	echo n > acl/n; mkdir -p acl/new/er`},
	{"a deep tree", `p=.; for i in $(seq 120); do p=$p/deep$i; done; mkdir -p "$p" && echo bottom > "$p/f"`},
}

// overlays are the mount options under which an upper looks different.
var overlays = map[string]string{
	"plain":     "",
	"redirect":  "redirect_dir=on",
	"metacopy":  "redirect_dir=on,metacopy=on",
	"userxattr": "userxattr",
}

// TestSeal compares what a container sees with the sealed changes on its image.
func TestSeal(t *testing.T) {
	needRoot(t)
	for name, options := range overlays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lowers := imageLayers(t)
			for _, tc := range sealCases {
				t.Run(tc.name, func(t *testing.T) { checkSeal(t, lowers, options, []string{tc.script}) })
			}
		})
	}
}

// TestSealOfAStack seals the changes of several uppers at once.
func TestSealOfAStack(t *testing.T) {
	needRoot(t)
	lowers := imageLayers(t)
	for i, first := range sealCases {
		if first.name == "a directory becomes a file" || first.name == "a directory deleted" || first.name == "the root's mode" {
			continue // the scripts that follow need it
		}
		for _, options := range []string{"", "redirect_dir=on,metacopy=on"} {
			second := sealCases[(i+7)%len(sealCases)]
			t.Run(first.name+", then "+second.name+" "+options, func(t *testing.T) {
				checkSeal(t, lowers, options, []string{first.script, "echo s > stacked; echo more > a/b/c/four 2>/dev/null || true; rm -rf second", second.script})
			})
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting overlays needs root")
	}
}

// checkSeal runs scripts, each in an upper of its own on top of the last, and
// compares.
func checkSeal(t *testing.T, lowers []string, options string, scripts []string) {
	dir := tempDir(t)
	c := &changes.Container{Overlay: changes.Overlay{Lowers: lowers, UserXattr: options == "userxattr"}}
	merged := filepath.Join(dir, "merged")
	for i, script := range scripts {
		upper := makeDirs(t, dir, "upper", i)
		below := append(append([]string{}, c.Uppers...), lowers...)
		if i > 0 {
			unmount(t, merged)
		}
		mountOverlay(t, merged, options, upper, makeDirs(t, dir, "work", i), below)
		c.Uppers = append([]string{upper}, c.Uppers...)
		shell(t, merged, script)
	}
	defer unmount(t, merged)
	checkSplit(t, c, dir, merged)

	var layers [2]bytes.Buffer
	for i, seal := range []func(context.Context, string) (snapshotter.SealStats, error){
		func(ctx context.Context, upper string) (snapshotter.SealStats, error) {
			return snapshotter.Seal(ctx, c, upper)
		},
		func(ctx context.Context, upper string) (snapshotter.SealStats, error) {
			return snapshotter.SealBelow(ctx, c, upper, 0, diff.Limit{})
		},
	} {
		if i == 1 && len(c.Uppers) == 1 {
			return // it is the same
		}
		sealed := makeDirs(t, dir, "sealed", i)
		stats, err := seal(t.Context(), sealed)
		if err != nil {
			t.Fatal(err)
		}
		checkSealed(t, lowers, merged, sealed, stats)
		sameLayer(t, c, sealed, stats.Root)
		if _, err := tarlayer.Write(t.Context(), &layers[i], sealed, tarlayer.Options{Root: stats.Root}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(layers[0].Bytes(), layers[1].Bytes()) {
		t.Error("the layer of what was linked is not that of what was copied")
	}
}

// checkSealed compares what a container sees with what was sealed of it, on its
// image.
func checkSealed(t *testing.T, lowers []string, merged, sealed string, stats snapshotter.SealStats) {
	t.Helper()
	check := sealed + ".check"
	mountOverlay(t, check, "", "", "", append([]string{sealed}, lowers...))
	defer unmount(t, check)
	// A snapshot's root has the time of its making.
	now := []unix.Timespec{{}, {}}
	for _, root := range []string{merged, sealed} {
		if err := unix.UtimesNano(root, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := compare.Trees(t.Context(), merged, check, compare.Options{Holes: true}); err != nil {
		t.Errorf("%d changes, %d bytes linked, but %v", stats.Changes, stats.Linked, err)
	}
}

// TestSealBelowLinks tells which files of a stack are linked: those of sealed
// layers that are large enough and have nothing that a copy would lose.
func TestSealBelowLinks(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	below, above := makeDirs(t, dir, "upper", 1), makeDirs(t, dir, "upper", 0)
	shell(t, below, `for f in large attributed labelled changed; do echo "large $f" > $f; done; ln large twin; echo s > small
	: setxattr attributed user.k v
	: setxattr labelled trusted.k v`)
	shell(t, above, `echo "large too" > changed; echo "large new" > new`)
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{above, below}}}
	sealed := makeDirs(t, dir, "sealed", 0)
	stats, err := snapshotter.SealBelow(t.Context(), c, sealed, int64(len("large")), diff.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	clones, err := snapshotter.Clones(dir)
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for name, shared := range map[string]bool{
		"large": true, "twin": true, "attributed": true, "labelled": false, "small": false, "changed": false, "new": false,
	} {
		var a, b unix.Stat_t
		if err := errors.Join(unix.Lstat(filepath.Join(sealed, name), &a), unix.Lstat(filepath.Join(below, name), &b)); err != nil && name != "new" {
			t.Fatal(err)
		}
		if got, want := a.Ino == b.Ino, shared && !clones; got != want {
			t.Errorf("%s is linked: %v, want %v", name, got, want)
		} else if got {
			links++
		}
	}
	if (stats.Linked > 0) != (links > 0) || stats.Cloned != clones {
		t.Errorf("the result says %+v of %d links", stats, links)
	}
}

// sameLayer checks that changes give the same layer with and without a sealed
// copy, from which it takes the time of the root.
func sameLayer(t *testing.T, c *changes.Container, sealed string, root bool) {
	t.Helper()
	if root {
		if out, err := exec.Command("touch", "-r", sealed, c.Uppers[0]).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	want, got := sha256.New(), sha256.New()
	_, err := tarlayer.Write(t.Context(), want, sealed, tarlayer.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tarlayer.WriteChanges(t.Context(), got, c, tarlayer.Options{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		t.Error("the layer of the changes is not that of the sealed copy")
	}
}

func TestSealRefusesAWhiteoutsName(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	lower, upper := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "upper", 0)
	shell(t, upper, "mkdir d; echo x > d/.wh.victim")
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
	_, err := snapshotter.Seal(t.Context(), c, makeDirs(t, dir, "sealed", 0))
	if !errors.Is(err, diff.ErrReserved) || !strings.Contains(err.Error(), "d/.wh.victim") {
		t.Fatalf("got %v", err)
	}
}

func TestSealLeavesOutTheInitLayer(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	lower, init, upper := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "init", 0), makeDirs(t, dir, "upper", 0)
	shell(t, lower, "mkdir bin; echo b > bin/b")
	shell(t, init, "touch .dockerenv; mkdir -p etc dev/pts; touch etc/hosts etc/hostname; chmod 755 etc")
	merged := filepath.Join(dir, "merged")
	mountOverlay(t, merged, "", upper, makeDirs(t, dir, "work", 0), []string{init, lower})
	shell(t, merged, "echo mine > etc/mine; rm .dockerenv; chmod 600 etc/hostname; chmod 644 etc/hostname; touch dev/x")
	unmount(t, merged)
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{init, lower}}, Init: true}
	sealed := makeDirs(t, dir, "sealed", 0)
	if _, err := snapshotter.Seal(t.Context(), c, sealed); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("find", sealed, "-mindepth", "1", "-printf", "%P\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	if len(got) != 4 {
		t.Errorf("sealed %q, want dev, dev/x, etc and etc/mine", got)
	}
}

// TestSealBelowADefaultACL: a folder of the machine may give what is made in it
// an access control list. What is sealed there gets nothing of it.
func TestSealBelowADefaultACL(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	lower, upper, sealed := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "sealed", 0)
	shell(t, upper, "umask 0; echo x > a; chmod 644 a; mkdir -m 755 d; echo y > d/b; chmod 666 d/b; chmod 755 .")
	// user::rwx user:7:rwx group::--- mask::rwx other::---
	acl := []byte("\x02\x00\x00\x00" +
		"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\x07\x00\x00\x00" + "\x04\x00\x00\x00\xff\xff\xff\xff" +
		"\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff")
	if err := unix.Setxattr(sealed, "system.posix_acl_default", acl, 0); err != nil {
		t.Fatal(err)
	}
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
	if _, err := snapshotter.Seal(t.Context(), c, sealed); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "d", "d/b"} {
		var want, got unix.Stat_t
		if err := errors.Join(unix.Lstat(filepath.Join(upper, name), &want), unix.Lstat(filepath.Join(sealed, name), &got)); err != nil {
			t.Fatal(err)
		}
		if got.Mode != want.Mode {
			t.Errorf("%s has mode %o, want %o", name, got.Mode, want.Mode)
		}
		for _, attr := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
			if _, err := unix.Getxattr(filepath.Join(sealed, name), attr, nil); !errors.Is(err, unix.ENODATA) {
				t.Errorf("%s has %s: %v", name, attr, err)
			}
		}
	}
}

// replacer tells the changes of a container, and puts another file in the place
// of one just before it tells of it.
type replacer struct {
	*changes.Container
	path, with string
}

func (r replacer) Walk(ctx context.Context, f func(*changes.Change) error) (changes.WalkStats, error) {
	return r.Container.Walk(ctx, func(c *changes.Change) error {
		if c.Path == r.path {
			if err := os.Rename(r.with, filepath.Join(r.Uppers[0], r.path)); err != nil {
				return err
			}
		}
		return f(c)
	})
}

// TestSealOfAFileThatIsReplaced: a container that is not paused may rename a file
// over another at any time. One of the two is sealed, and not the content of one
// with the owner and the mode of the other.
func TestSealOfAFileThatIsReplaced(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	lower, upper, sealed := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "sealed", 0)
	shell(t, upper, "echo mine > f; chmod 4755 f")
	shell(t, dir, "echo your > new; chmod 640 new; chown 7:8 new")
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
	if _, err := snapshotter.Seal(t.Context(), replacer{c, "f", filepath.Join(dir, "new")}, sealed); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(sealed, "f"))
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(sealed, "f"), &st); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s%o %d:%d", text, st.Mode&0o7777, st.Uid, st.Gid)
	if got != "mine\n4755 0:0" && got != "your\n640 7:8" {
		t.Errorf("sealed %q", got)
	}
}

// mover moves a file to where the walk has been, whenever it is at a path.
type mover struct {
	*changes.Container
	at    string
	moves [][2]string // from, to; one for each walk
	walks int
}

func (m *mover) Walk(ctx context.Context, f func(*changes.Change) error) (changes.WalkStats, error) {
	m.walks++
	return m.Container.Walk(ctx, func(c *changes.Change) error {
		if c.Path == m.at && len(m.moves) > 0 {
			next := m.moves[0]
			m.moves = m.moves[1:]
			if err := os.Rename(filepath.Join(m.Uppers[0], next[0]), filepath.Join(m.Uppers[0], next[1])); err != nil {
				return err
			}
		}
		return f(c)
	})
}

// TestSealWhileNamesMove: without a pause, or while docker cp comes and goes, a
// name may be gone when the walk gets to it. What it named is not missed.
func TestSealWhileNamesMove(t *testing.T) {
	needRoot(t)
	for name, test := range map[string]struct {
		moves [][2]string
		fails bool
	}{
		"once":      {moves: [][2]string{{"z", "a/z"}}},
		"for ever":  {moves: [][2]string{{"z", "a/z"}, {"y", "a/y"}, {"x", "a/x"}}, fails: true},
		"and twice": {moves: [][2]string{{"z", "a/z"}, {"y", "a/y"}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			lower, upper, sealed := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "sealed", 0)
			shell(t, upper, "mkdir a b; echo first > a/f; echo x > x; echo y > y; echo z > z")
			m := &mover{Container: &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}, at: "b", moves: test.moves}
			walks := min(len(test.moves)+1, 3)
			_, err := snapshotter.Seal(t.Context(), m, sealed)
			if m.walks != walks {
				t.Errorf("walked %d times, want %d", m.walks, walks)
			}
			if test.fails {
				if !errors.Is(err, diff.ErrChanged) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := tree(t, sealed), tree(t, upper); got != want {
				t.Errorf("sealed\n%s\nof\n%s", got, want)
			}
		})
	}
}

// tree lists the names in a folder.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func imageLayers(t *testing.T) []string {
	t.Helper()
	dir := tempDir(t)
	var lowers []string
	for i, script := range image {
		layer := makeDirs(t, dir, "layer", i)
		if i == 0 {
			shell(t, layer, script)
		} else {
			merged := filepath.Join(dir, "merged")
			mountOverlay(t, merged, "", layer, makeDirs(t, dir, "work", i), lowers)
			shell(t, merged, script+"; rm -r gone-in-second")
			unmount(t, merged)
		}
		lowers = append([]string{layer}, lowers...)
	}
	return lowers
}

// tempDir is T.TempDir with a name that mount options can hold.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "seal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func makeDirs(t *testing.T, dir, name string, n int) string {
	t.Helper()
	path := filepath.Join(dir, name+string(rune('0'+n)))
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func mountOverlay(t *testing.T, target, options, upper, work string, lowers []string) {
	t.Helper()
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	data := []string{"lowerdir=" + strings.Join(lowers, ":")}
	if upper != "" {
		data = append(data, "upperdir="+upper, "workdir="+work)
	}
	if options != "" {
		data = append(data, options)
	}
	if err := unix.Mount("overlay", target, "overlay", 0, strings.Join(data, ",")); err != nil {
		t.Fatalf("mount overlay with %v: %v", data, err)
	}
}

func unmount(t *testing.T, target string) {
	t.Helper()
	// A test beside this one may just be forking, and hold all files open.
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", target, err)
	}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	for _, line := range strings.Split(script, "\n\t") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == ":" && f[1] != ">>" {
			special(t, dir, f[1:])
			continue
		}
		cmd := exec.Command("sh", "-ec", line)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

func special(t *testing.T, dir string, args []string) {
	t.Helper()
	path := filepath.Join(dir, args[1])
	var err error
	switch args[0] {
	case "setxattr":
		err = unix.Setxattr(path, args[2], []byte(args[3]), 0)
	case "setcap": // cap_net_bind_service, permitted
		err = unix.Setxattr(path, "security.capability", []byte("\x00\x00\x00\x02\x00\x04\x00\x00"+strings.Repeat("\x00", 12)), 0)
	case "setacl": // rwx for the owner and for user 7, nothing for others
		err = unix.Setxattr(path, "system.posix_acl_default", []byte("\x02\x00\x00\x00"+
			"\x01\x00\x07\x00\xff\xff\xff\xff"+"\x02\x00\x07\x00\x07\x00\x00\x00"+"\x04\x00\x00\x00\xff\xff\xff\xff"+
			"\x10\x00\x07\x00\xff\xff\xff\xff"+"\x20\x00\x00\x00\xff\xff\xff\xff"), 0)
	case "socket":
		err = unix.Mknod(path, unix.S_IFSOCK|0o755, 0)
	}
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// TestSealWhole: a file of which a container changed nothing is for a program what it was:
// times, names, attributes.
func TestSealWhole(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	upper, sealed := makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "sealed", 0)
	shell(t, upper, `mkdir -p d/e; echo x > d/table; chmod 600 d/table; echo y > d/e/twin; ln d/e/twin twin; ln -s x link; mkfifo fifo; echo z > .wh.kept
	truncate -s 1M d/sparse`)
	// Revision 3 of linux/capability.h: cap_net_raw of a namespace whose root is 100000.
	capability := []byte("\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xa0\x86\x01\x00")
	attrs := map[string][2]string{
		"user.a=b": {"d/table", "v"}, "trusted.own": {"d", "v"}, "trusted.overlay.overlay.opaque": {"d/e", "y"},
		"security.capability": {"d/e/twin", string(capability)},
	}
	for name, at := range attrs {
		if err := unix.Lsetxattr(filepath.Join(upper, at[0]), name, []byte(at[1]), 0); err != nil {
			t.Fatal(name, err)
		}
	}
	paths := []string{"d/table", "d/e/twin", "twin", "link", "fifo", ".wh.kept", "d/sparse", "d/e", "d"} // what is in a directory before it
	for i, p := range paths {
		times := []unix.Timespec{{Sec: 1e9, Nsec: int64(i) + 3}, {Sec: 2e9, Nsec: int64(i) + 5}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(upper, p), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
	}
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}}, Whole: true}
	if _, err := snapshotter.SealWhole(t.Context(), c, sealed); err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		var want, got unix.Stat_t
		if err := errors.Join(unix.Lstat(filepath.Join(upper, p), &want), unix.Lstat(filepath.Join(sealed, p), &got)); err != nil {
			t.Fatal(err)
		}
		if got.Mode != want.Mode || got.Mtim != want.Mtim || got.Size != want.Size || got.Nlink != want.Nlink {
			t.Errorf("%s is %+v, want %+v", p, got, want)
		}
		if got.Ino == want.Ino {
			t.Errorf("%s is the very file", p)
		}
	}
	for name, at := range attrs {
		value := make([]byte, 64)
		n, err := unix.Lgetxattr(filepath.Join(sealed, at[0]), name, value)
		if err != nil || string(value[:n]) != at[1] {
			t.Errorf("%s has %s %q, %v", at[0], name, value[:max(n, 0)], err)
		}
	}
}
