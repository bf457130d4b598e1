package snapshotter_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/dump"
	"github.com/baleen-project/baleen/snapshotter"
)

// live is a container that runs, and is sealed again and again.
type live struct {
	dir, merged, upper string
	options            string
	lowers             []string
	sealed             []string // topmost first
	known              *snapshotter.Copies
}

func newLive(t *testing.T, dir, options string, lowers []string) *live {
	t.Helper()
	l := &live{dir: dir, merged: filepath.Join(dir, "merged"), upper: makeDirs(t, dir, "upper", 0), options: options, lowers: lowers}
	mountOverlay(t, l.merged, options, l.upper, makeDirs(t, dir, "work", 0), lowers)
	t.Cleanup(func() { unmount(t, l.merged) })
	return l
}

// seal copies what changed since the last seal.
func (l *live) seal(t *testing.T) snapshotter.SealStats {
	t.Helper()
	into := filepath.Join(l.dir, fmt.Sprint("sealed", len(l.sealed)))
	if err := os.Mkdir(into, 0o755); err != nil {
		t.Fatal(err)
	}
	keepRoot(t, slices.Concat(l.sealed, l.lowers)[0], into)
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{l.upper}, Lowers: l.lowers, UserXattr: l.options == "userxattr"}}
	if l.known != nil {
		c.Earlier.Layers = l.sealed
	}
	stats, known, err := snapshotter.SealLive(t.Context(), c, into, l.known)
	if err != nil {
		t.Fatal(err)
	}
	l.known, l.sealed = known, append([]string{into}, l.sealed...)
	return stats
}

// keepRoot gives a root what the one below it has, as the snapshots of a container have.
func keepRoot(t *testing.T, from, to string) {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat(from, &st), unix.Chown(to, int(st.Uid), int(st.Gid)), unix.Chmod(to, st.Mode&0o7777))
	attrs, err := dump.Attributes(from)
	check(t, err)
	for name, value := range attrs {
		check(t, unix.Setxattr(to, name, []byte(value), 0))
	}
}

// list is all that there is to see in a tree. Sockets are left out, and the time of
// the root.
func list(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := dump.Files(root, func(f dump.File) error {
		if f.Stat.Mode&unix.S_IFMT == unix.S_IFSOCK {
			return nil
		}
		for name := range f.Attributes {
			if dump.MayDiffer(name) {
				delete(f.Attributes, name)
			}
		}
		mtime := fmt.Sprint(f.Stat.Mtim)
		if f.Path == root {
			mtime = ""
		}
		if f.Stat.Mode&unix.S_IFMT == unix.S_IFREG {
			mtime += fmt.Sprint(" ", f.Stat.Size)
		}
		fmt.Fprintf(&all, "%s %o %d:%d %s %s=%s %s\n", strings.TrimPrefix(f.Path, root), f.Stat.Mode, f.Stat.Uid, f.Stat.Gid,
			mtime, strings.TrimPrefix(f.First, root), f.Content, f.AttributesText())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// revision lists what one of the seals shows, the first one being 1.
func (l *live) revision(t *testing.T, n int) string {
	t.Helper()
	check := filepath.Join(l.dir, "check")
	lowers := append(slices.Concat(l.sealed[len(l.sealed)-n:], l.lowers), makeDirs(t, l.dir, "nothing", 0))
	mountOverlay(t, check, "", "", "", lowers)
	defer unmount(t, check)
	return list(t, check)
}

// same compares the last seal with what the container is.
func (l *live) same(t *testing.T) {
	t.Helper()
	if got, want := l.revision(t, len(l.sealed)), list(t, l.merged); got != want {
		t.Errorf("seal %d shows\n%s\nwant\n%s", len(l.sealed), unlike(got, want), unlike(want, got))
	}
}

// unlike are the lines of a that b does not have.
func unlike(a, b string) string {
	has := strings.Split(b, "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(a, "\n"), func(line string) bool { return slices.Contains(has, line) }), "\n")
}

// age waits until what has been written can be trusted.
func age() { time.Sleep(40 * time.Millisecond) }

// TestSealLive seals each of the changes that a seal knows, and then another one on top.
func TestSealLive(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"plain", "metacopy"} { // which renames directories, too
		options := overlays[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lowers := imageLayers(t)
			for i, first := range sealCases {
				second := sealCases[(i+7)%len(sealCases)]
				if first.name == "a directory becomes a file" || first.name == "a directory deleted" || first.name == "the root's mode" {
					second = sealCases[0] // the scripts that follow need the directory
				}
				t.Run(first.name+", then "+second.name, func(t *testing.T) {
					l := newLive(t, tempDir(t), options, lowers)
					for _, script := range []string{first.script, "echo s > stacked; rm -rf second", second.script, "rm -rf a d; mkdir -p a/b"} {
						shell(t, l.merged, script)
						l.seal(t)
						l.same(t)
					}
				})
			}
		})
	}
}

// TestSealLiveAgain changes what an earlier seal has in ways in which a file or directory
// can be replaced.
func TestSealLiveAgain(t *testing.T) {
	needRoot(t)
	begin := `mkdir -p p/q/r t u; for f in p/q/r/f p/q/g t/f u/f; do echo same size $f > $f; done
	echo 12345 > p/one; ln p/one p/two; ln p/one t/three; echo alone > alone
	ln -s alone link; mkfifo pipe; chmod 751 p`
	for name, script := range map[string]string{
		"nothing":                             `true`,
		"a directory renamed":                 `mv p z`,
		"a directory renamed below":           `mv p/q/r p/r`,
		"directories exchanged":               `mv t x; mv u t; mv x u`,
		"files exchanged":                     `mv t/f x; mv u/f t/f; mv x u/f`,
		"one of several names written":        `echo 54321 > p/two`,
		"one of several names deleted":        `rm p/one`,
		"one of several names replaced":       `rm p/one; echo 12345 > p/one`,
		"one of several names moved":          `mv t v`,
		"a name more":                         `ln alone also`,
		"a name more and less":                `ln alone also; rm alone`,
		"a file deleted and made again":       `rm alone; echo alone > alone`,
		"a file replaced by a copy":           `cp -p alone copy; mv copy alone`,
		"a directory deleted and made again":  `rm -r p; mkdir -p p/q; echo new > p/q/g`,
		"a directory of the image made again": `rm -r a; mkdir a; echo in > a/one`,
		"opaque, and opaque again":            `rm -r a; mkdir a; echo in > a/one; rm -r a; mkdir a; echo on > a/two`,
		"an attribute":                        `: setxattr alone user.k v`,
		"an attribute of a directory":         `: setxattr p user.k v`,
		"an attribute of the root":            `: setxattr . user.k v`,
		"a mode":                              `chmod 600 alone`,
		"a mode of a directory":               `chmod 700 p`,
		"the root's mode":                     `chmod 700 .`,
		"an owner":                            `chown 7:8 alone p`,
		"a time":                              `touch -d @1000000000 alone p`,
		"a link":                              `ln -sf stacked link`,
		"another type":                        `rm alone pipe; mkdir alone; echo p > pipe`,
		"a rewrite of the same size and time": `cp -p alone ref; echo ENOLA > alone; touch -r ref alone; rm ref`,
		"as the image had it":                 `rm -r second; mkdir -p second/layer; echo z > second/layer/z`,
	} {
		for _, options := range []string{"plain", "metacopy"} {
			t.Run(name+"/"+options, func(t *testing.T) {
				t.Parallel()
				l := newLive(t, tempDir(t), overlays[options], imageLayers(t))
				shell(t, l.merged, begin)
				age()
				l.seal(t)
				l.same(t)
				shell(t, l.merged, script)
				l.seal(t)
				l.same(t)
				age()
				l.seal(t)
				stats := l.seal(t)
				l.same(t)
				if stats.Bytes > int64(len("12345\n")*6) { // those of several names are copied each time
					t.Errorf("without a change the last seal has copied %+v", stats)
				}
				shell(t, l.merged, `rm -rf p t; echo end > end`)
				l.seal(t)
				l.same(t)
			})
		}
	}
}

// TestSealLiveForgetsTheRootsAttributes: a snapshot's root begins with the attributes of
// the one below.
func TestSealLiveForgetsTheRootsAttributes(t *testing.T) {
	needRoot(t)
	l := newLive(t, tempDir(t), "", imageLayers(t))
	shell(t, l.merged, `: setxattr . user.a 1
	: setxattr . user.b 2`)
	l.seal(t)
	if err := unix.Removexattr(l.merged, "user.a"); err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(l.dir, "next")
	if err := os.Mkdir(into, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"user.a", "user.b"} {
		if err := unix.Setxattr(into, name, []byte("old"), 0); err != nil {
			t.Fatal(err)
		}
	}
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{l.upper}, Lowers: l.lowers}, Earlier: changes.Earlier{Layers: l.sealed}}
	if _, _, err := snapshotter.SealLive(t.Context(), c, into, l.known); err != nil {
		t.Fatal(err)
	}
	attrs, err := dump.Attributes(into)
	if err != nil || len(attrs) != 1 || attrs["user.b"] != "2" {
		t.Errorf("the root has %v, %v", attrs, err)
	}
}
