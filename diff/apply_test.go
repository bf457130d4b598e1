package diff_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

func TestApplyToAnUpperUndoesWriteLayer(t *testing.T) {
	a, b := upperTree(t), t.TempDir()
	layer := writeLayer(t, a, diff.TarOptions{Root: true})
	apply(t, b, layer, diff.ApplyOptions{Overlay: true, Root: true, Sync: true})
	compareTrees(t, a, b, diff.CompareOptions{Holes: true, Accept: func(d diff.Difference) bool {
		// A deletion in the form of an attribute comes back as a device.
		return d.Path == "/xattrs/gone" || d.Path == "/dir/gone"
	}})
	if again := writeLayer(t, b, diff.TarOptions{Root: true}); !bytes.Equal(layer, again) {
		t.Error("the upper that was made gives another layer")
	}
}

func TestApplyReadsEveryCompression(t *testing.T) {
	root := upperTree(t)
	for _, c := range allCompressions {
		var b bytes.Buffer
		layer, _, err := diff.Pack(t.Context(), &b, root, diff.TarOptions{}, c)
		do(t, err)
		target := t.TempDir()
		id, stats, err := diff.Apply(t.Context(), &b, target, diff.ApplyOptions{Overlay: true})
		do(t, err)
		if id != layer.DiffID || stats.Entries == 0 {
			t.Errorf("%s: diffID %s, want %s", c, id, layer.DiffID)
		}
		compareTrees(t, target, target, diff.CompareOptions{})
	}
}

func TestApplyReadsWhatGNUTarWrites(t *testing.T) {
	needRoot(t)
	a := t.TempDir()
	at := func(name string) string { return filepath.Join(a, name) }
	do(t,
		os.Chmod(a, 0o755),
		os.MkdirAll(at("d"), 0o755),
		os.WriteFile(at("d/"+strings.Repeat("n", 90)), []byte("text"), 0o600),
		os.Link(at("d/"+strings.Repeat("n", 90)), at("hard")),
		os.Symlink("d", at("soft")),
		unix.Mkfifo(at("fifo"), 0o600),
		unix.Mknod(at("null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
		os.WriteFile(at("sparse"), nil, 0o644),
		os.Truncate(at("sparse"), 3<<20),
	)
	f, err := os.OpenFile(at("sparse"), os.O_WRONLY, 0)
	do(t, err)
	_, err = f.WriteAt([]byte("data"), 1<<20)
	do(t, err, f.Close())
	settle(t, a)
	for _, format := range [][]string{{"ustar"}, {"pax"}, {"gnu"}, {"gnu", "-S"}, {"pax", "-S"}, {"pax", "-S", "--sparse-version=0.1"}, {"pax", "--xattrs"}} {
		t.Run(strings.Join(format, " "), func(t *testing.T) {
			args := append([]string{"--numeric-owner", "-C", a, "-cf", "-", "--format=" + format[0]}, format[1:]...)
			layer, err := exec.Command("tar", append(args, ".")...).Output()
			do(t, err)
			b := t.TempDir()
			apply(t, b, layer, diff.ApplyOptions{Root: true})
			compareTrees(t, a, b, diff.CompareOptions{Holes: true})
		})
	}
}

// stackCases are layers on a tree, and what the two make together.
var stackCases = []struct {
	name  string
	layer []member
	want  string // besides "below/", unless it says so
}{
	{"deletion", []member{reg("a/.wh.one", "")}, "a/ a/b/ a/b/two=2 f=f"},
	{"deletion of a directory", []member{reg(".wh.a", "")}, "f=f"},
	{"deletion of nothing", []member{reg("a/.wh.none", ""), reg(".wh.none", "")}, "a/ a/b/ a/b/two=2 a/one=1 f=f"},
	{"deletion, then the same name", []member{reg(".wh.f", ""), reg("f", "new")}, "a/ a/b/ a/b/two=2 a/one=1 f=new"},
	{"the same name, then its deletion", []member{reg("f", "new"), reg(".wh.f", "")}, "a/ a/b/ a/b/two=2 a/one=1 f=new"},
	{"deletion, then a directory", []member{reg(".wh.a", ""), folder("a/"), reg("a/new", "n")}, "a/ a/new=n f=f"},
	{"a directory, then its deletion", []member{folder("a/"), reg("a/new", "n"), reg(".wh.a", "")}, "a/ a/new=n f=f"},
	{"deletion, then a directory that is not told", []member{reg(".wh.a", ""), reg("a/b/new", "n")}, "a/ a/b/ a/b/new=n f=f"},
	{"a directory that is not told, then its deletion", []member{reg("a/b/new", "n"), reg(".wh.a", "")}, "a/ a/b/ a/b/new=n f=f"},
	{"deletion of a part, in a directory that is not told", []member{reg("a/b/.wh.two", ""), reg("a/b/new", "n")}, "a/ a/b/ a/b/new=n a/one=1 f=f"},
	{"opaque first", []member{folder("a/"), reg("a/.wh..wh..opq", ""), reg("a/new", "n")}, "a/ a/new=n f=f"},
	{"opaque last", []member{folder("a/"), reg("a/new", "n"), reg("a/b/x", "x"), reg("a/.wh..wh..opq", "")}, "a/ a/b/ a/b/x=x a/new=n f=f"},
	{"opaque without a directory", []member{reg("a/.wh..wh..opq", ""), reg("a/new", "n")}, "a/ a/new=n f=f"},
	{"opaque root", []member{reg("g", "g"), reg(".wh..wh..opq", ""), folder("a/")}, "a/ g=g"},
	{"file over directory", []member{reg("a", "file")}, "a=file f=f"},
	{"link over directory", []member{symlink("a", "f")}, "a->f f=f"},
	{"directory over file", []member{folder("f/"), reg("f/in", "i")}, "a/ a/b/ a/b/two=2 a/one=1 f/ f/in=i"},
	{"directory joins directory", []member{folder("a/b/"), reg("a/b/new", "n")}, "a/ a/b/ a/b/new=n a/b/two=2 a/one=1 f=f"},
	{"file over file, twice", []member{reg("f", "x"), reg("f", "y")}, "a/ a/b/ a/b/two=2 a/one=1 f=y"},
	{"file, then directory, over a directory", []member{reg("a", "x"), folder("a/")}, "a/ f=f"},
	{"directory, then file", []member{folder("g/"), reg("g/x", "x"), reg("g", "g")}, "a/ a/b/ a/b/two=2 a/one=1 f=f g=g"},
	{"hard link to below", []member{hardlink("h", "a/one")}, "a/ a/b/ a/b/two=2 a/one=1 f=f h=1"},
	{"hard link to below, over it", []member{hardlink("f", "/a/b/two")}, "a/ a/b/ a/b/two=2 a/one=1 f=2"},
	{"hard link to itself", []member{reg("g", "g"), hardlink("g", "g")}, "a/ a/b/ a/b/two=2 a/one=1 f=f g=g"},
	{"what aufs left", []member{folder(".wh..wh.plnk/"), reg(".wh..wh.plnk/1.2", "x"), reg(".wh..wh.aufs", ""), folder(".wh..wh.orph/")}, "a/ a/b/ a/b/two=2 a/one=1 f=f"},
	{"hard links into what aufs kept", []member{
		folder(".wh..wh.plnk/"), reg(".wh..wh.plnk/1.2", "x"), symlink(".wh..wh.plnk/l", "/f"), reg(".wh..wh.plnk/d/3", "y"), reg(".wh..wh.plnk/4", "unused"),
		hardlink("g", ".wh..wh.plnk/1.2"), hardlink("a/h", "/.wh..wh.plnk/1.2"),
	}, "a/ a/b/ a/b/two=2 a/h=x a/one=1 f=f g=x"},
	{"attributes of a directory", []member{folder("a/b/").with("user.new", "1")}, "a/ a/b/ a/b/two=2 a/one=1 f=f"},
	{"names from above", []member{reg("../../up", "u"), reg("/abs", "a"), folder("./"), reg("a/../c", "c")}, "a/ a/b/ a/b/two=2 a/one=1 abs=a c=c f=f up=u"},
	{"through a link", []member{folder("real/"), symlink("via", "/real"), reg("via/x", "x"), symlink("real/up", ".."), reg("via/up/y", "y")},
		"a/ a/b/ a/b/two=2 a/one=1 f=f real/ real/up->.. real/x=x via->/real y=y"},
	{"through a link to nowhere", []member{symlink("via", "../no/where"), reg("via/x", "x")}, "a/ a/b/ a/b/two=2 a/one=1 f=f no/ no/where/ no/where/x=x via->../no/where"},
	{"a link that is replaced", []member{folder("r1/"), folder("r2/"), symlink("l", "r1"), reg("l/x", "1"), symlink("l", "r2"), reg("l/x", "2")},
		"a/ a/b/ a/b/two=2 a/one=1 f=f l->r2 r1/ r1/x=1 r2/ r2/x=2"},
	{"a directory that is replaced", []member{folder("g/"), reg("g/x", "1"), reg("g", ""), folder("g/"), reg("g/y", "2")}, "a/ a/b/ a/b/two=2 a/one=1 f=f g/ g/y=2"},
}

func below(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	apply(t, root, layerOf(t, folder("a/"), folder("a/b/").with("user.old", "1"), reg("a/one", "1"), reg("a/b/two", "2"), reg("f", "f")), diff.ApplyOptions{})
	do(t, os.Chmod(root, 0o755))
	return root
}

// TestApplyGivesTheSameEverywhere unpacks layers as marks in an upper, and as
// deletions in a tree; both have to show the same.
func TestApplyGivesTheSameEverywhere(t *testing.T) {
	needRoot(t)
	for _, c := range stackCases {
		// A comma in a path would end an option of the mount.
		t.Run(strings.ReplaceAll(c.name, ",", ""), func(t *testing.T) {
			layer := layerOf(t, c.layer...)
			tree := below(t)
			apply(t, tree, layer, diff.ApplyOptions{})
			if got := names(t, tree); got != c.want {
				t.Errorf("a tree has\n%s, want\n%s", got, c.want)
			}
			lower, upper := below(t), t.TempDir()
			apply(t, upper, layer, diff.ApplyOptions{Overlay: true, Lowers: []string{lower}})
			merged := mountOverlay(t, lower, upper)
			if got := names(t, merged); got != c.want {
				t.Errorf("an overlay has\n%s, want\n%s\nits upper has\n%s", got, c.want, names(t, upper))
			}
			compareTrees(t, tree, merged, diff.CompareOptions{IgnoreRoot: true, Accept: func(d diff.Difference) bool {
				// A directory that is not told has no time, unless from below.
				return d.Aspect == diff.ModTime && strings.Contains(c.name, "not told") || strings.HasPrefix(d.Path, "/no")
			}})
			compareTrees(t, lower, below(t), diff.CompareOptions{IgnoreRoot: true})
		})
	}
}

func TestApplyKeepsMetadata(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	do(t, unix.Setxattr(root, "system.posix_acl_default", aclOf(9), 0))
	setuid := member{Header: tar.Header{Typeflag: tar.TypeReg, Name: "d/setuid", Mode: 0o6755, Uid: 1000, Gid: 4_000_000_000, ModTime: time.Unix(-5, 0), PAXRecords: map[string]string{
		"SCHILY.xattr.security.capability":        string(fileCapability),
		"SCHILY.xattr.user.kept":                  "yes",
		"SCHILY.xattr.user.overlay.opaque":        "y",
		"SCHILY.xattr.trusted.overlay.opaque":     "y",
		"SCHILY.xattr.trusted.overlay.redirect":   "/etc",
		"SCHILY.xattr.trusted.any":                "1",
		"LIBARCHIVE.xattr.user.other":             "eA",
		"SCHILY.xattr.system.posix_acl_access":    string(aclOf(3)),
		"SCHILY.xattr.nonsense.of.a.strange.kind": "1",
	}}, body: "x"}
	again := hardlink("d/zz", "d/setuid")
	again.Mode, again.Uid, again.Gid, again.ModTime = 0o6755, 1000, 4_000_000_000, time.Unix(-5, 0)
	dir := folder("d/")
	dir.Mode, dir.Uid, dir.ModTime = 0o2711, 5, time.Unix(1<<33, 123_456_789)
	dir.Format = tar.FormatPAX
	link := symlink("d/link", "nowhere").with("user.onlink", "1")
	link.Uid, link.ModTime = 6, time.Unix(77, 0)
	sub := folder("d/sub/")
	apply(t, root, layerOf(t, dir, setuid, link, again, sub), diff.ApplyOptions{})

	for name, want := range map[string]string{
		"d":        "2711 5:0 8589934592.123456789",
		"d/setuid": "6755 1000:4000000000 -5.0 security.capability system.posix_acl_access user.kept",
		"d/zz":     "6755 1000:4000000000 -5.0 security.capability system.posix_acl_access user.kept",
		"d/link":   "777 6:0 77.0",
		"d/sub":    "755 0:0 1234567890.0",
	} {
		if got := metadata(t, filepath.Join(root, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// metadata tells mode, owner, time and names of attributes.
func metadata(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	do(t, unix.Lstat(path, &st))
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(path, buf)
	do(t, err)
	attrs := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(attrs)
	return strings.TrimSpace(fmt.Sprintf("%o %d:%d %d.%d %s", st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, strings.Join(attrs, " ")))
}

func TestApplyTakesParentsAndLinkedFilesFromBelow(t *testing.T) {
	needRoot(t)
	lower, upper := t.TempDir(), t.TempDir()
	dir := folder("p/")
	dir.Mode, dir.Uid, dir.ModTime = 0o1750, 42, time.Unix(99, 0)
	file := reg("p/q/file", "below").with("user.k", "v")
	file.Mode, file.Uid = 0o4711, 43
	big := reg("big", strings.Repeat("\x00", 1<<20)+"x")
	apply(t, lower, layerOf(t, dir, folder("p/q/"), file, big, symlink("p/soft", "q/file"), reg("p/hidden", "h")), diff.ApplyOptions{})
	mid := t.TempDir()
	apply(t, mid, layerOf(t, reg("p/.wh.hidden", "")), diff.ApplyOptions{Overlay: true, Lowers: []string{lower}})
	opts := diff.ApplyOptions{Overlay: true, Lowers: []string{mid, lower}}

	link := hardlink("p/other", "p/q/file").with("user.k", "v")
	link.Mode, link.Uid = 0o4711, 43
	apply(t, upper, layerOf(t, reg("p/new/x", "x"), link, hardlink("big2", "big"), hardlink("soft2", "p/soft")), opts)
	if got, want := names(t, upper), "big2="+big.body+" big="+big.body+" p/ p/new/ p/new/x=x p/other=below p/q/ p/q/file=below p/soft->q/file soft2->q/file"; got != want {
		t.Errorf("the upper has %.300s", got)
	}
	for name, want := range map[string]string{
		"p":        "1750 42:0 99.0",
		"p/q/file": "4711 43:0 1234567890.0 user.k",
		"p/other":  "4711 43:0 1234567890.0 user.k",
	} {
		if got := metadata(t, filepath.Join(upper, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	var st unix.Stat_t
	do(t, unix.Lstat(filepath.Join(upper, "big"), &st))
	if st.Nlink != 2 || st.Blocks*512 > 128<<10 {
		t.Errorf("big has %d names and takes %d bytes", st.Nlink, st.Blocks*512)
	}
	for _, target := range []string{"p/hidden", "p", "none/none", "p/q/file/x"} {
		_, _, err := diff.Apply(t.Context(), bytes.NewReader(layerOf(t, hardlink("l", target))), t.TempDir(), opts)
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("a link to %s gave %v", target, err)
		}
	}
}

func TestApplyMakesHoles(t *testing.T) {
	root := t.TempDir()
	zero := func(n int) string { return strings.Repeat("\x00", n) }
	for name, c := range map[string]struct {
		body string
		disk int64 // at most
	}{
		"hole":   {zero(4 << 20), 0},
		"middle": {"x" + zero(4<<20) + "x", 256 << 10},
		"end":    {zero(3<<20) + "x", 128 << 10},
		"start":  {"x" + zero(3<<20), 128 << 10},
		"small":  {zero(1000), 8 << 10},
		"odd":    {zero(1<<20 + 65536 + 5), 8 << 10},
	} {
		apply(t, root, layerOf(t, reg(name, c.body)), diff.ApplyOptions{})
		got, err := os.ReadFile(filepath.Join(root, name))
		do(t, err)
		var st unix.Stat_t
		do(t, unix.Stat(filepath.Join(root, name), &st))
		if string(got) != c.body || st.Blocks*512 > c.disk {
			t.Errorf("%s: %d bytes of %d, %d on disk", name, len(got), len(c.body), st.Blocks*512)
		}
	}
}

func TestApplySetsTheTimesOfManyDirectories(t *testing.T) {
	root := t.TempDir()
	var members []member
	const many = 1100 // more than wait at a time
	for i := range many {
		d := folder(fmt.Sprintf("d%d/", i))
		d.ModTime = time.Unix(int64(i), 0)
		members = append(members, d)
	}
	for i := range many {
		members = append(members, reg(fmt.Sprintf("d%d/f", i), ""))
	}
	apply(t, root, layerOf(t, members...), diff.ApplyOptions{})
	for i := range many {
		info, err := os.Stat(fmt.Sprintf("%s/d%d", root, i))
		do(t, err)
		if info.ModTime().Unix() != int64(i) {
			t.Fatalf("d%d has time %s", i, info.ModTime())
		}
	}
}

// TestAufsLinks: names that are links into the folder in which aufs kept files are one
// file, as containerd's own applier has their content, and nothing else is left.
func TestAufsLinks(t *testing.T) {
	needRoot(t)
	layer := layerOf(t, folder(".wh..wh.plnk/"), reg(".wh..wh.plnk/77.9", "kept"), reg("other", "o"),
		hardlink("one", ".wh..wh.plnk/77.9"), folder("d/"), hardlink("d/two", "./.wh..wh.plnk/77.9"))
	root, stock := t.TempDir(), t.TempDir()
	apply(t, root, layer, diff.ApplyOptions{})
	_, err := archive.Apply(t.Context(), stock, bytes.NewReader(layer))
	do(t, err)
	for _, name := range []string{"one", "d/two", "other"} {
		ours, err := os.ReadFile(filepath.Join(root, name))
		do(t, err)
		theirs, err := os.ReadFile(filepath.Join(stock, name))
		do(t, err)
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s is %q, and %q as containerd unpacks it", name, ours, theirs)
		}
	}
	var one, two unix.Stat_t
	do(t, unix.Stat(filepath.Join(root, "one"), &one))
	do(t, unix.Stat(filepath.Join(root, "d/two"), &two))
	if one.Ino != two.Ino || one.Nlink != 2 {
		t.Errorf("the names are files %d and %d, of %d names", one.Ino, two.Ino, one.Nlink)
	}
	names, err := os.ReadDir(root)
	do(t, err)
	if len(names) != 3 {
		t.Errorf("in the root there are %v", names)
	}
	// They are not among what a root hides.
	opaque := layerOf(t, reg(".wh..wh.plnk/1", "kept"), reg(".wh..wh..opq", ""), hardlink("h", ".wh..wh.plnk/1"))
	apply(t, root, opaque, diff.ApplyOptions{})
	if text, err := os.ReadFile(filepath.Join(root, "h")); string(text) != "kept" {
		t.Errorf("the file is %q, %v", text, err)
	}
	for _, m := range []member{hardlink("h", ".wh..wh.plnk/none"), hardlink("h", ".wh..wh.plnk/../../etc/passwd"), hardlink("h", ".wh..wh.plnk/d/3")} {
		_, _, err := diff.Apply(t.Context(), bytes.NewReader(layerOf(t, reg(".wh..wh.plnk/1", "x"), m)), t.TempDir(), diff.ApplyOptions{})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("a link to %s: %v", m.Linkname, err)
		}
	}
}

// TestApplyWithoutLowers unpacks into an upper of which containerd does not say what
// is below, as it does to unpack several layers at once: deletions are marks.
func TestApplyWithoutLowers(t *testing.T) {
	needRoot(t)
	upper, lower := t.TempDir(), below(t)
	layer := layerOf(t, folder("a/"), reg("a/.wh.one", ""), reg("new", "n"))
	mounts := []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"upperdir=" + upper}}}
	_, _, err := diff.ApplyMounts(t.Context(), bytes.NewReader(layer), mounts, diff.ApplyOptions{Sync: true})
	do(t, err)
	if got := names(t, mountOverlay(t, lower, upper)); got != "a/ a/b/ a/b/two=2 f=f new=n" {
		t.Errorf("on what is below it shows %q", got)
	}
}
