package apply_test

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

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

func TestApplyToAnUpperUndoesWriteLayer(t *testing.T) {
	a, b := difftest.UpperTree(t), t.TempDir()
	layer := difftest.WriteLayer(t, a, tarlayer.Options{Root: true})
	difftest.Apply(t, b, layer, apply.Options{Overlay: true, Root: true, Sync: true})
	difftest.CompareTrees(t, a, b, compare.Options{Holes: true, Accept: func(d compare.Difference) bool {
		// A deletion in the form of an attribute comes back as a device.
		return d.Path == "/xattrs/gone" || d.Path == "/dir/gone"
	}})
	if again := difftest.WriteLayer(t, b, tarlayer.Options{Root: true}); !bytes.Equal(layer, again) {
		t.Error("the upper that was made gives another layer")
	}
}

func TestApplyReadsEveryCompression(t *testing.T) {
	root := difftest.UpperTree(t)
	for _, c := range difftest.AllCompressions {
		var b bytes.Buffer
		layer, _, err := tarlayer.Pack(t.Context(), &b, root, tarlayer.Options{}, c)
		difftest.Do(t, err)
		target := t.TempDir()
		id, stats, err := apply.ToDir(t.Context(), &b, target, apply.Options{Overlay: true})
		difftest.Do(t, err)
		if id != layer.DiffID || stats.Entries == 0 {
			t.Errorf("%s: diffID %s, want %s", c, id, layer.DiffID)
		}
		difftest.CompareTrees(t, target, target, compare.Options{})
	}
}

func TestApplyReadsWhatGNUTarWrites(t *testing.T) {
	difftest.NeedRoot(t)
	a := t.TempDir()
	at := func(name string) string { return filepath.Join(a, name) }
	difftest.Do(t,
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
	difftest.Do(t, err)
	_, err = f.WriteAt([]byte("data"), 1<<20)
	difftest.Do(t, err, f.Close())
	difftest.Settle(t, a)
	for _, format := range [][]string{{"ustar"}, {"pax"}, {"gnu"}, {"gnu", "-S"}, {"pax", "-S"}, {"pax", "-S", "--sparse-version=0.1"}, {"pax", "--xattrs"}} {
		t.Run(strings.Join(format, " "), func(t *testing.T) {
			args := append([]string{"--numeric-owner", "-C", a, "-cf", "-", "--format=" + format[0]}, format[1:]...)
			layer, err := exec.Command("tar", append(args, ".")...).Output()
			difftest.Do(t, err)
			b := t.TempDir()
			difftest.Apply(t, b, layer, apply.Options{Root: true})
			difftest.CompareTrees(t, a, b, compare.Options{Holes: true})
		})
	}
}

// stackCases are layers on a tree, and what the two make together.
var stackCases = []struct {
	name  string
	layer []difftest.Member
	want  string // besides "below/", unless it says so
}{
	{"deletion", []difftest.Member{difftest.Reg("a/.wh.one", "")}, "a/ a/b/ a/b/two=2 f=f"},
	{"deletion of a directory", []difftest.Member{difftest.Reg(".wh.a", "")}, "f=f"},
	{"deletion of nothing", []difftest.Member{difftest.Reg("a/.wh.none", ""), difftest.Reg(".wh.none", "")}, "a/ a/b/ a/b/two=2 a/one=1 f=f"},
	{"deletion, then the same name", []difftest.Member{difftest.Reg(".wh.f", ""), difftest.Reg("f", "new")}, "a/ a/b/ a/b/two=2 a/one=1 f=new"},
	{"the same name, then its deletion", []difftest.Member{difftest.Reg("f", "new"), difftest.Reg(".wh.f", "")}, "a/ a/b/ a/b/two=2 a/one=1 f=new"},
	{"deletion, then a directory", []difftest.Member{difftest.Reg(".wh.a", ""), difftest.Folder("a/"), difftest.Reg("a/new", "n")}, "a/ a/new=n f=f"},
	{"a directory, then its deletion", []difftest.Member{difftest.Folder("a/"), difftest.Reg("a/new", "n"), difftest.Reg(".wh.a", "")}, "a/ a/new=n f=f"},
	{"deletion, then a directory that is not told", []difftest.Member{difftest.Reg(".wh.a", ""), difftest.Reg("a/b/new", "n")}, "a/ a/b/ a/b/new=n f=f"},
	{"a directory that is not told, then its deletion", []difftest.Member{difftest.Reg("a/b/new", "n"), difftest.Reg(".wh.a", "")}, "a/ a/b/ a/b/new=n f=f"},
	{"deletion of a part, in a directory that is not told", []difftest.Member{difftest.Reg("a/b/.wh.two", ""), difftest.Reg("a/b/new", "n")}, "a/ a/b/ a/b/new=n a/one=1 f=f"},
	{"opaque first", []difftest.Member{difftest.Folder("a/"), difftest.Reg("a/.wh..wh..opq", ""), difftest.Reg("a/new", "n")}, "a/ a/new=n f=f"},
	{"opaque last", []difftest.Member{difftest.Folder("a/"), difftest.Reg("a/new", "n"), difftest.Reg("a/b/x", "x"), difftest.Reg("a/.wh..wh..opq", "")}, "a/ a/b/ a/b/x=x a/new=n f=f"},
	{"opaque without a directory", []difftest.Member{difftest.Reg("a/.wh..wh..opq", ""), difftest.Reg("a/new", "n")}, "a/ a/new=n f=f"},
	{"opaque root", []difftest.Member{difftest.Reg("g", "g"), difftest.Reg(".wh..wh..opq", ""), difftest.Folder("a/")}, "a/ g=g"},
	{"file over directory", []difftest.Member{difftest.Reg("a", "file")}, "a=file f=f"},
	{"link over directory", []difftest.Member{difftest.Symlink("a", "f")}, "a->f f=f"},
	{"directory over file", []difftest.Member{difftest.Folder("f/"), difftest.Reg("f/in", "i")}, "a/ a/b/ a/b/two=2 a/one=1 f/ f/in=i"},
	{"directory joins directory", []difftest.Member{difftest.Folder("a/b/"), difftest.Reg("a/b/new", "n")}, "a/ a/b/ a/b/new=n a/b/two=2 a/one=1 f=f"},
	{"file over file, twice", []difftest.Member{difftest.Reg("f", "x"), difftest.Reg("f", "y")}, "a/ a/b/ a/b/two=2 a/one=1 f=y"},
	{"file, then directory, over a directory", []difftest.Member{difftest.Reg("a", "x"), difftest.Folder("a/")}, "a/ f=f"},
	{"directory, then file", []difftest.Member{difftest.Folder("g/"), difftest.Reg("g/x", "x"), difftest.Reg("g", "g")}, "a/ a/b/ a/b/two=2 a/one=1 f=f g=g"},
	{"hard link to below", []difftest.Member{difftest.Hardlink("h", "a/one")}, "a/ a/b/ a/b/two=2 a/one=1 f=f h=1"},
	{"hard link to below, over it", []difftest.Member{difftest.Hardlink("f", "/a/b/two")}, "a/ a/b/ a/b/two=2 a/one=1 f=2"},
	{"hard link to itself", []difftest.Member{difftest.Reg("g", "g"), difftest.Hardlink("g", "g")}, "a/ a/b/ a/b/two=2 a/one=1 f=f g=g"},
	{"what aufs left", []difftest.Member{difftest.Folder(".wh..wh.plnk/"), difftest.Reg(".wh..wh.plnk/1.2", "x"), difftest.Reg(".wh..wh.aufs", ""), difftest.Folder(".wh..wh.orph/")}, "a/ a/b/ a/b/two=2 a/one=1 f=f"},
	{"hard links into what aufs kept", []difftest.Member{
		difftest.Folder(".wh..wh.plnk/"), difftest.Reg(".wh..wh.plnk/1.2", "x"), difftest.Symlink(".wh..wh.plnk/l", "/f"), difftest.Reg(".wh..wh.plnk/d/3", "y"), difftest.Reg(".wh..wh.plnk/4", "unused"),
		difftest.Hardlink("g", ".wh..wh.plnk/1.2"), difftest.Hardlink("a/h", "/.wh..wh.plnk/1.2"),
	}, "a/ a/b/ a/b/two=2 a/h=x a/one=1 f=f g=x"},
	{"attributes of a directory", []difftest.Member{difftest.Folder("a/b/").With("user.new", "1")}, "a/ a/b/ a/b/two=2 a/one=1 f=f"},
	{"names from above", []difftest.Member{difftest.Reg("../../up", "u"), difftest.Reg("/abs", "a"), difftest.Folder("./"), difftest.Reg("a/../c", "c")}, "a/ a/b/ a/b/two=2 a/one=1 abs=a c=c f=f up=u"},
	{"through a link", []difftest.Member{difftest.Folder("real/"), difftest.Symlink("via", "/real"), difftest.Reg("via/x", "x"), difftest.Symlink("real/up", ".."), difftest.Reg("via/up/y", "y")},
		"a/ a/b/ a/b/two=2 a/one=1 f=f real/ real/up->.. real/x=x via->/real y=y"},
	{"through a link to nowhere", []difftest.Member{difftest.Symlink("via", "../no/where"), difftest.Reg("via/x", "x")}, "a/ a/b/ a/b/two=2 a/one=1 f=f no/ no/where/ no/where/x=x via->../no/where"},
	{"a link that is replaced", []difftest.Member{difftest.Folder("r1/"), difftest.Folder("r2/"), difftest.Symlink("l", "r1"), difftest.Reg("l/x", "1"), difftest.Symlink("l", "r2"), difftest.Reg("l/x", "2")},
		"a/ a/b/ a/b/two=2 a/one=1 f=f l->r2 r1/ r1/x=1 r2/ r2/x=2"},
	{"a directory that is replaced", []difftest.Member{difftest.Folder("g/"), difftest.Reg("g/x", "1"), difftest.Reg("g", ""), difftest.Folder("g/"), difftest.Reg("g/y", "2")}, "a/ a/b/ a/b/two=2 a/one=1 f=f g/ g/y=2"},
}

func below(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	difftest.Apply(t, root, difftest.LayerOf(t, difftest.Folder("a/"), difftest.Folder("a/b/").With("user.old", "1"), difftest.Reg("a/one", "1"), difftest.Reg("a/b/two", "2"), difftest.Reg("f", "f")), apply.Options{})
	difftest.Do(t, os.Chmod(root, 0o755))
	return root
}

// TestApplyGivesTheSameEverywhere unpacks layers as marks in an upper, and as
// deletions in a tree; both have to show the same.
func TestApplyGivesTheSameEverywhere(t *testing.T) {
	difftest.NeedRoot(t)
	for _, c := range stackCases {
		// A comma in a path would end an option of the mount.
		t.Run(strings.ReplaceAll(c.name, ",", ""), func(t *testing.T) {
			layer := difftest.LayerOf(t, c.layer...)
			tree := below(t)
			difftest.Apply(t, tree, layer, apply.Options{})
			if got := difftest.Names(t, tree); got != c.want {
				t.Errorf("a tree has\n%s, want\n%s", got, c.want)
			}
			lower, upper := below(t), t.TempDir()
			difftest.Apply(t, upper, layer, apply.Options{Overlay: true, Lowers: []string{lower}})
			merged := difftest.MountOverlay(t, lower, upper)
			if got := difftest.Names(t, merged); got != c.want {
				t.Errorf("an overlay has\n%s, want\n%s\nits upper has\n%s", got, c.want, difftest.Names(t, upper))
			}
			difftest.CompareTrees(t, tree, merged, compare.Options{IgnoreRoot: true, Accept: func(d compare.Difference) bool {
				// A directory that is not told has no time, unless from below.
				return d.Aspect == compare.ModTime && strings.Contains(c.name, "not told") || strings.HasPrefix(d.Path, "/no")
			}})
			difftest.CompareTrees(t, lower, below(t), compare.Options{IgnoreRoot: true})
		})
	}
}

func TestApplyKeepsMetadata(t *testing.T) {
	difftest.NeedRoot(t)
	root := t.TempDir()
	difftest.Do(t, unix.Setxattr(root, "system.posix_acl_default", difftest.AclOf(9), 0))
	setuid := difftest.Member{Header: tar.Header{Typeflag: tar.TypeReg, Name: "d/setuid", Mode: 0o6755, Uid: 1000, Gid: 4_000_000_000, ModTime: time.Unix(-5, 0), PAXRecords: map[string]string{
		"SCHILY.xattr.security.capability":        string(difftest.FileCapability),
		"SCHILY.xattr.user.kept":                  "yes",
		"SCHILY.xattr.user.overlay.opaque":        "y",
		"SCHILY.xattr.trusted.overlay.opaque":     "y",
		"SCHILY.xattr.trusted.overlay.redirect":   "/etc",
		"SCHILY.xattr.trusted.any":                "1",
		"LIBARCHIVE.xattr.user.other":             "eA",
		"SCHILY.xattr.system.posix_acl_access":    string(difftest.AclOf(3)),
		"SCHILY.xattr.nonsense.of.a.strange.kind": "1",
	}}, Body: "x"}
	again := difftest.Hardlink("d/zz", "d/setuid")
	again.Mode, again.Uid, again.Gid, again.ModTime = 0o6755, 1000, 4_000_000_000, time.Unix(-5, 0)
	dir := difftest.Folder("d/")
	dir.Mode, dir.Uid, dir.ModTime = 0o2711, 5, time.Unix(1<<33, 123_456_789)
	dir.Format = tar.FormatPAX
	link := difftest.Symlink("d/link", "nowhere").With("user.onlink", "1")
	link.Uid, link.ModTime = 6, time.Unix(77, 0)
	sub := difftest.Folder("d/sub/")
	difftest.Apply(t, root, difftest.LayerOf(t, dir, setuid, link, again, sub), apply.Options{})

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

// TestApplyMapsIDs: owners and the ids of access control lists get those that a function
// says, and directories that the layer does not tell are root's by it.
func TestApplyMapsIDs(t *testing.T) {
	difftest.NeedRoot(t)
	root := t.TempDir()
	file := difftest.Member{Header: tar.Header{Typeflag: tar.TypeReg, Name: "implied/file", Mode: 0o640, Uid: 3, Gid: 4, ModTime: time.Unix(1, 0), PAXRecords: map[string]string{
		"SCHILY.xattr.system.posix_acl_access": string(difftest.AclOf(3)),
	}}}
	top := difftest.Folder("./")
	top.Mode = 0o751
	shift := func(id uint32, _ idmap.Kind) (uint32, error) { return id + 100, nil }
	difftest.Apply(t, root, difftest.LayerOf(t, top, file), apply.Options{Root: true, MapIDs: shift})
	for name, want := range map[string]string{".": "751 100:100", "implied": "755 100:100", "implied/file": "103:104"} {
		if got := metadata(t, filepath.Join(root, name)); !strings.Contains(got, want) {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	list := make([]byte, 256)
	n, err := unix.Getxattr(filepath.Join(root, "implied/file"), "system.posix_acl_access", list)
	difftest.Do(t, err)
	if !bytes.Equal(list[:n], difftest.AclOf(103)) {
		t.Errorf("the access control list is %x, want %x", list[:n], difftest.AclOf(103))
	}
	failing := func(uint32, idmap.Kind) (uint32, error) { return 0, errdefs.ErrOutOfRange }
	if _, _, err := apply.ToDir(t.Context(), bytes.NewReader(difftest.LayerOf(t, file)), t.TempDir(), apply.Options{MapIDs: failing}); !errdefs.IsOutOfRange(err) {
		t.Errorf("ids that cannot be mapped gave %v", err)
	}
}

// metadata tells mode, owner, time and names of attributes.
func metadata(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	difftest.Do(t, unix.Lstat(path, &st))
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(path, buf)
	difftest.Do(t, err)
	attrs := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(attrs)
	return strings.TrimSpace(fmt.Sprintf("%o %d:%d %d.%d %s", st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, strings.Join(attrs, " ")))
}

func TestApplyTakesParentsAndLinkedFilesFromBelow(t *testing.T) {
	difftest.NeedRoot(t)
	lower, upper := t.TempDir(), t.TempDir()
	dir := difftest.Folder("p/")
	dir.Mode, dir.Uid, dir.ModTime = 0o1750, 42, time.Unix(99, 0)
	file := difftest.Reg("p/q/file", "below").With("user.k", "v")
	file.Mode, file.Uid = 0o4711, 43
	big := difftest.Reg("big", strings.Repeat("\x00", 1<<20)+"x")
	difftest.Apply(t, lower, difftest.LayerOf(t, dir, difftest.Folder("p/q/"), file, big, difftest.Symlink("p/soft", "q/file"), difftest.Reg("p/hidden", "h")), apply.Options{})
	mid := t.TempDir()
	difftest.Apply(t, mid, difftest.LayerOf(t, difftest.Reg("p/.wh.hidden", "")), apply.Options{Overlay: true, Lowers: []string{lower}})
	opts := apply.Options{Overlay: true, Lowers: []string{mid, lower}}

	link := difftest.Hardlink("p/other", "p/q/file").With("user.k", "v")
	link.Mode, link.Uid = 0o4711, 43
	difftest.Apply(t, upper, difftest.LayerOf(t, difftest.Reg("p/new/x", "x"), link, difftest.Hardlink("big2", "big"), difftest.Hardlink("soft2", "p/soft")), opts)
	if got, want := difftest.Names(t, upper), "big2="+big.Body+" big="+big.Body+" p/ p/new/ p/new/x=x p/other=below p/q/ p/q/file=below p/soft->q/file soft2->q/file"; got != want {
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
	difftest.Do(t, unix.Lstat(filepath.Join(upper, "big"), &st))
	if st.Nlink != 2 || st.Blocks*512 > 128<<10 {
		t.Errorf("big has %d names and takes %d bytes", st.Nlink, st.Blocks*512)
	}
	for _, target := range []string{"p/hidden", "p", "none/none", "p/q/file/x"} {
		_, _, err := apply.ToDir(t.Context(), bytes.NewReader(difftest.LayerOf(t, difftest.Hardlink("l", target))), t.TempDir(), opts)
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
		difftest.Apply(t, root, difftest.LayerOf(t, difftest.Reg(name, c.body)), apply.Options{})
		got, err := os.ReadFile(filepath.Join(root, name))
		difftest.Do(t, err)
		var st unix.Stat_t
		difftest.Do(t, unix.Stat(filepath.Join(root, name), &st))
		if string(got) != c.body || st.Blocks*512 > c.disk {
			t.Errorf("%s: %d bytes of %d, %d on disk", name, len(got), len(c.body), st.Blocks*512)
		}
	}
}

func TestApplySetsTheTimesOfManyDirectories(t *testing.T) {
	root := t.TempDir()
	var members []difftest.Member
	const many = 1100 // more than wait at a time
	for i := range many {
		d := difftest.Folder(fmt.Sprintf("d%d/", i))
		d.ModTime = time.Unix(int64(i), 0)
		members = append(members, d)
	}
	for i := range many {
		members = append(members, difftest.Reg(fmt.Sprintf("d%d/f", i), ""))
	}
	difftest.Apply(t, root, difftest.LayerOf(t, members...), apply.Options{})
	for i := range many {
		info, err := os.Stat(fmt.Sprintf("%s/d%d", root, i))
		difftest.Do(t, err)
		if info.ModTime().Unix() != int64(i) {
			t.Fatalf("d%d has time %s", i, info.ModTime())
		}
	}
}

// TestAufsLinks: names that are links into the folder in which aufs kept files are one
// file, as containerd's own applier has their content, and nothing else is left.
func TestAufsLinks(t *testing.T) {
	difftest.NeedRoot(t)
	layer := difftest.LayerOf(t, difftest.Folder(".wh..wh.plnk/"), difftest.Reg(".wh..wh.plnk/77.9", "kept"), difftest.Reg("other", "o"),
		difftest.Hardlink("one", ".wh..wh.plnk/77.9"), difftest.Folder("d/"), difftest.Hardlink("d/two", "./.wh..wh.plnk/77.9"))
	root, stock := t.TempDir(), t.TempDir()
	difftest.Apply(t, root, layer, apply.Options{})
	_, err := archive.Apply(t.Context(), stock, bytes.NewReader(layer))
	difftest.Do(t, err)
	for _, name := range []string{"one", "d/two", "other"} {
		ours, err := os.ReadFile(filepath.Join(root, name))
		difftest.Do(t, err)
		theirs, err := os.ReadFile(filepath.Join(stock, name))
		difftest.Do(t, err)
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s is %q, and %q as containerd unpacks it", name, ours, theirs)
		}
	}
	var one, two unix.Stat_t
	difftest.Do(t, unix.Stat(filepath.Join(root, "one"), &one))
	difftest.Do(t, unix.Stat(filepath.Join(root, "d/two"), &two))
	if one.Ino != two.Ino || one.Nlink != 2 {
		t.Errorf("the names are files %d and %d, of %d names", one.Ino, two.Ino, one.Nlink)
	}
	names, err := os.ReadDir(root)
	difftest.Do(t, err)
	if len(names) != 3 {
		t.Errorf("in the root there are %v", names)
	}
	// They are not among what a root hides.
	opaque := difftest.LayerOf(t, difftest.Reg(".wh..wh.plnk/1", "kept"), difftest.Reg(".wh..wh..opq", ""), difftest.Hardlink("h", ".wh..wh.plnk/1"))
	difftest.Apply(t, root, opaque, apply.Options{})
	if text, err := os.ReadFile(filepath.Join(root, "h")); string(text) != "kept" {
		t.Errorf("the file is %q, %v", text, err)
	}
	for _, m := range []difftest.Member{difftest.Hardlink("h", ".wh..wh.plnk/none"), difftest.Hardlink("h", ".wh..wh.plnk/../../etc/passwd"), difftest.Hardlink("h", ".wh..wh.plnk/d/3")} {
		_, _, err := apply.ToDir(t.Context(), bytes.NewReader(difftest.LayerOf(t, difftest.Reg(".wh..wh.plnk/1", "x"), m)), t.TempDir(), apply.Options{})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("a link to %s: %v", m.Linkname, err)
		}
	}
}

// TestApplyWithoutLowers unpacks into an upper of which containerd does not say what
// is below, as it does to unpack several layers at once: deletions are marks.
func TestApplyWithoutLowers(t *testing.T) {
	difftest.NeedRoot(t)
	upper, lower := t.TempDir(), below(t)
	layer := difftest.LayerOf(t, difftest.Folder("a/"), difftest.Reg("a/.wh.one", ""), difftest.Reg("new", "n"))
	mounts := []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"upperdir=" + upper}}}
	_, _, err := apply.ToMounts(t.Context(), bytes.NewReader(layer), mounts, apply.Options{Sync: true})
	difftest.Do(t, err)
	if got := difftest.Names(t, difftest.MountOverlay(t, lower, upper)); got != "a/ a/b/ a/b/two=2 f=f new=n" {
		t.Errorf("on what is below it shows %q", got)
	}
}
