package diff_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// yard is a directory that holds a target and, around it, what no layer may
// touch.
type yard struct{ outside, target, secret string }

func newYard(t testing.TB) yard {
	t.Helper()
	outside := t.TempDir()
	y := yard{outside: outside, target: filepath.Join(outside, "target"), secret: filepath.Join(outside, "secret")}
	for _, err := range []error{
		os.Mkdir(y.target, 0o755),
		os.Mkdir(filepath.Join(outside, "dir"), 0o755),
		os.WriteFile(filepath.Join(outside, "dir", "file"), []byte("canary"), 0o600),
		os.WriteFile(y.secret, []byte("canary"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return y
}

// check fails the test if anything outside the target is not what it was.
func (y yard) check(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(y.outside)
	if err != nil || len(entries) != 3 {
		t.Errorf("outside has %v, %v", entries, err)
	}
	for _, name := range []string{y.secret, filepath.Join(y.outside, "dir", "file")} {
		var st unix.Stat_t
		body, err := os.ReadFile(name)
		if err != nil || string(body) != "canary" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if err := unix.Lstat(name, &st); err != nil || st.Nlink != 1 || st.Mode != unix.S_IFREG|0o600 || st.Mtim.Sec < 1_500_000_000 {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(y.outside, "dir")); err != nil || len(entries) != 1 {
		t.Errorf("dir has %v, %v", entries, err)
	}
}

// device is an entry with a number that archive/tar itself would write so.
func device(kind byte, major, minor int64) member {
	return member{Header: tar.Header{Typeflag: kind, Name: "dev", Devmajor: major, Devminor: minor, Format: tar.FormatGNU}}
}

func owned(uid int) member {
	m := reg("f", "")
	m.Uid, m.Format = uid, tar.FormatGNU
	return m
}

// Whether a layer is refused, or has another meaning than it seems.
const ok, bad = true, false

// longName is a directory's, with a slash.
var longName = strings.Repeat("d", 200) + "/"

var hostileCases = map[string]struct {
	ok      bool
	members []member
}{
	"dots":                         {ok, []member{reg("../secret", "x"), reg("../../../../../../tmp/../secret", "y"), reg("a/../../secret", "z")}},
	"absolute":                     {ok, []member{reg("/secret", "x"), folder("/dir/"), reg("//dir/file", "x")}},
	"link to above":                {ok, []member{symlink("l", ".."), reg("l/secret", "x")}},
	"link to the root":             {ok, []member{symlink("l", "/"), reg("l/secret", "x")}},
	"link to a file outside":       {ok, []member{symlink("l", "../secret"), reg("l", "x")}},
	"link, then a directory":       {ok, []member{symlink("l", "../dir"), folder("l/"), reg("l/file", "x")}},
	"link, then its mode":          {ok, []member{symlink("l", "../secret"), func() member { m := symlink("l", "../secret"); m.Uid = 5; return m }()}},
	"links in a row":               {ok, []member{symlink("a", "b/.."), symlink("b", ".."), folder("c/"), symlink("c/d", "../../.."), reg("a/secret", "x"), reg("c/d/secret", "y")}},
	"links in a circle":            {bad, []member{symlink("a", "b"), symlink("b", "a"), reg("a/x", "x")}},
	"link to itself":               {bad, []member{symlink("a", "a"), reg("a/x", "x")}},
	"hard link to above":           {bad, []member{hardlink("h", "../secret"), reg("h", "x")}},
	"hard link by a link":          {bad, []member{symlink("l", ".."), hardlink("h", "l/secret")}},
	"hard link to a link":          {ok, []member{symlink("l", "../secret"), hardlink("h", "l"), reg("h", "x")}},
	"hard link to a link, changed": {ok, []member{symlink("l", "../secret"), func() member { m := hardlink("h", "l"); m.Mode, m.Uid = 0o777, 5; return m }()}},
	"hard link to a directory":     {bad, []member{folder("d/"), hardlink("h", "d")}},
	"hard link to the root":        {bad, []member{hardlink("h", "/")}},
	"hard link to nothing":         {bad, []member{hardlink("h", "")}},
	"hard link to a deletion":      {bad, []member{reg(".wh.x", ""), hardlink("h", ".wh.x")}},
	"hard link below what it ends": {bad, []member{reg("d/x", ""), hardlink("d", "d/x")}},
	"deletion of above":            {bad, []member{reg(".wh...", "")}},
	"deletion of here":             {bad, []member{folder("d/"), reg("d/.wh..", "")}},
	"deletion of no name":          {bad, []member{reg(".wh.", "")}},
	"deletion above":               {ok, []member{reg("../.wh.secret", ""), reg("../dir/.wh.file", ""), reg("../.wh..wh..opq", "")}},
	"deletion by a link":           {ok, []member{symlink("l", ".."), reg("l/.wh.secret", ""), symlink("m", "../dir"), reg("m/.wh..wh..opq", "")}},
	"deletion of a link":           {ok, []member{symlink("l", "../dir"), reg(".wh.l", "")}},
	"opaque at a link":             {ok, []member{symlink("l", "/../dir"), reg("l/.wh..wh..opq", "")}},
	"file over a link to outside":  {ok, []member{symlink("l", "../dir"), reg("l", "file")}},
	"device out of range":          {bad, []member{device(tar.TypeBlock, 1<<12, 0)}},
	"device cut to another":        {bad, []member{device(tar.TypeChar, 1, 1<<32+3)}},
	"device below zero":            {bad, []member{device(tar.TypeChar, -1, 3)}},
	"device, then what is in it":   {bad, []member{device(tar.TypeChar, 1, 3), reg("dev/x", "")}},
	"owner below zero":             {bad, []member{owned(-5)}},
	"owner too large":              {bad, []member{owned(1<<32 - 1)}},
	"unknown type":                 {bad, []member{{Header: tar.Header{Typeflag: 'V', Name: "v"}, body: ""}}},
	"long name":                    {bad, []member{reg(strings.Repeat("d/", 2100)+"f", "")}},
	"long part":                    {bad, []member{reg(strings.Repeat("n", 256), "")}},
	"long by way of links":         {bad, []member{reg(strings.Repeat(longName, 10)+"f", ""), symlink("l", strings.Repeat(longName, 10)), reg("l/"+strings.Repeat(longName, 15)+"f", "")}},
	"root as a file":               {ok, []member{reg(".", "x"), symlink(".", "/"), reg("..", "")}},
	"file in a file":               {bad, []member{reg("f", ""), reg("f/x", "")}},
	"marks by hand":                {ok, []member{folder("d/").with("trusted.overlay.redirect", "/../../dir"), folder("e/").with("user.overlay.redirect", "/x")}},
}

func TestApplyTouchesNothingOutside(t *testing.T) {
	needRoot(t)
	for name, c := range hostileCases {
		t.Run(name, func(t *testing.T) {
			layer := layerOf(t, c.members...)
			for _, opts := range []diff.ApplyOptions{
				{}, {Root: true}, {Overlay: true, Lowers: []string{t.TempDir()}}, {Overlay: true, UserXattr: true},
				{Overlay: true, Over: true, Lowers: []string{t.TempDir()}},
			} {
				y := newYard(t)
				_, _, err := diff.Apply(t.Context(), bytes.NewReader(layer), y.target, opts)
				y.check(t)
				if opts.Root && name == "root as a file" {
					continue
				}
				if (err == nil) != c.ok {
					t.Errorf("with %+v: %v", opts, err)
				}
			}
		})
	}
}

// TestApplyRefusesLyingSizes edits headers, which archive/tar would not write.
func TestApplyRefusesLyingSizes(t *testing.T) {
	for name, size := range map[string]string{
		"negative": "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
		"too much": "00000007777\x00",
		"huge":     "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
		"no digit": "zzzzzzzzzzz\x00",
	} {
		layer := layerOf(t, reg("f", "x"))
		copy(layer[124:136], size)
		sum := 8 * int(' ')
		for i, b := range layer[:512] {
			if i < 148 || i >= 156 {
				sum += int(b)
			}
		}
		for i := 153; i >= 148; i, sum = i-1, sum/8 {
			layer[i] = '0' + byte(sum%8)
		}
		layer[154], layer[155] = 0, ' '
		y := newYard(t)
		if _, _, err := diff.Apply(t.Context(), bytes.NewReader(layer), y.target, diff.ApplyOptions{}); !errdefs.IsInvalidArgument(err) && !errors.Is(err, diff.ErrOverLimit) {
			t.Errorf("%s: %v", name, err)
		}
		y.check(t)
	}
}

// TestContainerdAppliesOurLayers unpacks with containerd's code what we wrote.
func TestContainerdAppliesOurLayers(t *testing.T) {
	needRoot(t)
	sealed := upperTree(t)
	lower := func() string {
		root := t.TempDir()
		apply(t, root, layerOf(t, folder("dir/"), reg("dir/gone", "g"), folder("opaque/"), reg("opaque/old", "o"),
			folder("xattrs/"), reg("xattrs/gone", "g"), reg("xattrs/stays", "s"), reg("stays", "s")), diff.ApplyOptions{})
		return root
	}
	layer := writeLayer(t, sealed, diff.TarOptions{})
	ours := t.TempDir()
	apply(t, ours, layer, diff.ApplyOptions{Overlay: true})
	want := mountOverlay(t, lower(), ours)

	opts := diff.CompareOptions{IgnoreRoot: true, Accept: func(d diff.Difference) bool {
		// containerd turns times before 1970 into 1970, and lets what it makes
		// inherit a directory's access control list.
		return d.Path == "/old" && d.Aspect == diff.ModTime || strings.HasPrefix(d.Xattr, "system.posix_acl")
	}}
	theirs := t.TempDir()
	_, err := archive.Apply(t.Context(), theirs, bytes.NewReader(layer), archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	do(t, err)
	compareTrees(t, want, mountOverlay(t, lower(), theirs), opts)

	merged := mountOverlay(t, lower(), t.TempDir())
	_, err = archive.Apply(t.Context(), merged, bytes.NewReader(layer))
	do(t, err)
	compareTrees(t, want, merged, opts)
	if got := names(t, filepath.Join(want, "xattrs")); got != "stays=s" {
		t.Errorf("xattrs has %s", got)
	}
}

// TestWeApplyContainerdsLayers unpacks with our code what containerd wrote.
func TestWeApplyContainerdsLayers(t *testing.T) {
	needRoot(t)
	lower := below(t)
	merged := mountOverlay(t, lower, t.TempDir())
	do(t,
		os.RemoveAll(filepath.Join(merged, "a")),
		os.MkdirAll(filepath.Join(merged, "a/b"), 0o700),
		os.Remove(filepath.Join(merged, "f")),
		os.WriteFile(filepath.Join(merged, "a/x"), []byte("x"), 0o4755),
		os.Link(filepath.Join(merged, "a/x"), filepath.Join(merged, "y")),
		unix.Setxattr(filepath.Join(merged, "y"), "security.capability", fileCapability, 0),
	)
	for _, name := range []string{"a/x", "a/b", "a"} {
		do(t, touch(filepath.Join(merged, name), 1_600_000_000, 0))
	}
	var b bytes.Buffer
	do(t, archive.WriteDiff(t.Context(), &b, lower, merged))
	upper := t.TempDir()
	apply(t, upper, b.Bytes(), diff.ApplyOptions{Overlay: true, Lowers: []string{lower}})
	compareTrees(t, merged, mountOverlay(t, lower, upper), diff.CompareOptions{IgnoreRoot: true})
}
