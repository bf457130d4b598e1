package apply_test

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
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
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
func device(kind byte, major, minor int64) difftest.Member {
	return difftest.Member{Header: tar.Header{Typeflag: kind, Name: "dev", Devmajor: major, Devminor: minor, Format: tar.FormatGNU}}
}

func owned(uid int) difftest.Member {
	m := difftest.Reg("f", "")
	m.Uid, m.Format = uid, tar.FormatGNU
	return m
}

// Whether a layer is refused, or has another meaning than it seems.
const ok, bad = true, false

// longName is a directory's, with a slash.
var longName = strings.Repeat("d", 200) + "/"

var hostileCases = map[string]struct {
	ok      bool
	members []difftest.Member
}{
	"dots":                         {ok, []difftest.Member{difftest.Reg("../secret", "x"), difftest.Reg("../../../../../../tmp/../secret", "y"), difftest.Reg("a/../../secret", "z")}},
	"absolute":                     {ok, []difftest.Member{difftest.Reg("/secret", "x"), difftest.Folder("/dir/"), difftest.Reg("//dir/file", "x")}},
	"link to above":                {ok, []difftest.Member{difftest.Symlink("l", ".."), difftest.Reg("l/secret", "x")}},
	"link to the root":             {ok, []difftest.Member{difftest.Symlink("l", "/"), difftest.Reg("l/secret", "x")}},
	"link to a file outside":       {ok, []difftest.Member{difftest.Symlink("l", "../secret"), difftest.Reg("l", "x")}},
	"link, then a directory":       {ok, []difftest.Member{difftest.Symlink("l", "../dir"), difftest.Folder("l/"), difftest.Reg("l/file", "x")}},
	"link, then its mode":          {ok, []difftest.Member{difftest.Symlink("l", "../secret"), func() difftest.Member { m := difftest.Symlink("l", "../secret"); m.Uid = 5; return m }()}},
	"links in a row":               {ok, []difftest.Member{difftest.Symlink("a", "b/.."), difftest.Symlink("b", ".."), difftest.Folder("c/"), difftest.Symlink("c/d", "../../.."), difftest.Reg("a/secret", "x"), difftest.Reg("c/d/secret", "y")}},
	"links in a circle":            {bad, []difftest.Member{difftest.Symlink("a", "b"), difftest.Symlink("b", "a"), difftest.Reg("a/x", "x")}},
	"link to itself":               {bad, []difftest.Member{difftest.Symlink("a", "a"), difftest.Reg("a/x", "x")}},
	"hard link to above":           {bad, []difftest.Member{difftest.Hardlink("h", "../secret"), difftest.Reg("h", "x")}},
	"hard link by a link":          {bad, []difftest.Member{difftest.Symlink("l", ".."), difftest.Hardlink("h", "l/secret")}},
	"hard link to a link":          {ok, []difftest.Member{difftest.Symlink("l", "../secret"), difftest.Hardlink("h", "l"), difftest.Reg("h", "x")}},
	"hard link to a link, changed": {ok, []difftest.Member{difftest.Symlink("l", "../secret"), func() difftest.Member { m := difftest.Hardlink("h", "l"); m.Mode, m.Uid = 0o777, 5; return m }()}},
	"hard link to a directory":     {bad, []difftest.Member{difftest.Folder("d/"), difftest.Hardlink("h", "d")}},
	"hard link to the root":        {bad, []difftest.Member{difftest.Hardlink("h", "/")}},
	"hard link to nothing":         {bad, []difftest.Member{difftest.Hardlink("h", "")}},
	"hard link to a deletion":      {bad, []difftest.Member{difftest.Reg(".wh.x", ""), difftest.Hardlink("h", ".wh.x")}},
	"hard link below what it ends": {bad, []difftest.Member{difftest.Reg("d/x", ""), difftest.Hardlink("d", "d/x")}},
	"deletion of above":            {bad, []difftest.Member{difftest.Reg(".wh...", "")}},
	"deletion of here":             {bad, []difftest.Member{difftest.Folder("d/"), difftest.Reg("d/.wh..", "")}},
	"deletion of no name":          {bad, []difftest.Member{difftest.Reg(".wh.", "")}},
	"deletion above":               {ok, []difftest.Member{difftest.Reg("../.wh.secret", ""), difftest.Reg("../dir/.wh.file", ""), difftest.Reg("../.wh..wh..opq", "")}},
	"deletion by a link":           {ok, []difftest.Member{difftest.Symlink("l", ".."), difftest.Reg("l/.wh.secret", ""), difftest.Symlink("m", "../dir"), difftest.Reg("m/.wh..wh..opq", "")}},
	"deletion of a link":           {ok, []difftest.Member{difftest.Symlink("l", "../dir"), difftest.Reg(".wh.l", "")}},
	"opaque at a link":             {ok, []difftest.Member{difftest.Symlink("l", "/../dir"), difftest.Reg("l/.wh..wh..opq", "")}},
	"file over a link to outside":  {ok, []difftest.Member{difftest.Symlink("l", "../dir"), difftest.Reg("l", "file")}},
	"device out of range":          {bad, []difftest.Member{device(tar.TypeBlock, 1<<12, 0)}},
	"device cut to another":        {bad, []difftest.Member{device(tar.TypeChar, 1, 1<<32+3)}},
	"device below zero":            {bad, []difftest.Member{device(tar.TypeChar, -1, 3)}},
	"device, then what is in it":   {bad, []difftest.Member{device(tar.TypeChar, 1, 3), difftest.Reg("dev/x", "")}},
	"owner below zero":             {bad, []difftest.Member{owned(-5)}},
	"owner too large":              {bad, []difftest.Member{owned(1<<32 - 1)}},
	"unknown type":                 {bad, []difftest.Member{{Header: tar.Header{Typeflag: 'V', Name: "v"}, Body: ""}}},
	"long name":                    {bad, []difftest.Member{difftest.Reg(strings.Repeat("d/", 2100)+"f", "")}},
	"long part":                    {bad, []difftest.Member{difftest.Reg(strings.Repeat("n", 256), "")}},
	"long by way of links":         {bad, []difftest.Member{difftest.Reg(strings.Repeat(longName, 10)+"f", ""), difftest.Symlink("l", strings.Repeat(longName, 10)), difftest.Reg("l/"+strings.Repeat(longName, 15)+"f", "")}},
	"root as a file":               {ok, []difftest.Member{difftest.Reg(".", "x"), difftest.Symlink(".", "/"), difftest.Reg("..", "")}},
	"file in a file":               {bad, []difftest.Member{difftest.Reg("f", ""), difftest.Reg("f/x", "")}},
	"marks by hand":                {ok, []difftest.Member{difftest.Folder("d/").With("trusted.overlay.redirect", "/../../dir"), difftest.Folder("e/").With("user.overlay.redirect", "/x")}},
}

func TestApplyTouchesNothingOutside(t *testing.T) {
	difftest.NeedRoot(t)
	for name, c := range hostileCases {
		t.Run(name, func(t *testing.T) {
			layer := difftest.LayerOf(t, c.members...)
			for _, opts := range []apply.Options{
				{}, {Root: true}, {Overlay: true, Lowers: []string{t.TempDir()}}, {Overlay: true, UserXattr: true},
				{Overlay: true, Over: true, Lowers: []string{t.TempDir()}},
			} {
				y := newYard(t)
				_, _, err := apply.ToDir(t.Context(), bytes.NewReader(layer), y.target, opts)
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
		layer := difftest.LayerOf(t, difftest.Reg("f", "x"))
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
		if _, _, err := apply.ToDir(t.Context(), bytes.NewReader(layer), y.target, apply.Options{}); !errdefs.IsInvalidArgument(err) && !errors.Is(err, diff.ErrOverLimit) {
			t.Errorf("%s: %v", name, err)
		}
		y.check(t)
	}
}

// TestContainerdAppliesOurLayers unpacks with containerd's code what we wrote.
func TestContainerdAppliesOurLayers(t *testing.T) {
	difftest.NeedRoot(t)
	sealed := difftest.UpperTree(t)
	lower := func() string {
		root := t.TempDir()
		difftest.Apply(t, root, difftest.LayerOf(t, difftest.Folder("dir/"), difftest.Reg("dir/gone", "g"), difftest.Folder("opaque/"), difftest.Reg("opaque/old", "o"),
			difftest.Folder("xattrs/"), difftest.Reg("xattrs/gone", "g"), difftest.Reg("xattrs/stays", "s"), difftest.Reg("stays", "s")), apply.Options{})
		return root
	}
	layer := difftest.WriteLayer(t, sealed, tarlayer.Options{})
	ours := t.TempDir()
	difftest.Apply(t, ours, layer, apply.Options{Overlay: true})
	want := difftest.MountOverlay(t, lower(), ours)

	opts := compare.Options{IgnoreRoot: true, Accept: func(d compare.Difference) bool {
		// containerd turns times before 1970 into 1970, and lets what it makes
		// inherit a directory's access control list.
		return d.Path == "/old" && d.Aspect == compare.ModTime || strings.HasPrefix(d.Xattr, "system.posix_acl")
	}}
	theirs := t.TempDir()
	_, err := archive.Apply(t.Context(), theirs, bytes.NewReader(layer), archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	difftest.Do(t, err)
	difftest.CompareTrees(t, want, difftest.MountOverlay(t, lower(), theirs), opts)

	merged := difftest.MountOverlay(t, lower(), t.TempDir())
	_, err = archive.Apply(t.Context(), merged, bytes.NewReader(layer))
	difftest.Do(t, err)
	difftest.CompareTrees(t, want, merged, opts)
	if got := difftest.Names(t, filepath.Join(want, "xattrs")); got != "stays=s" {
		t.Errorf("xattrs has %s", got)
	}
}

// TestWeApplyContainerdsLayers unpacks with our code what containerd wrote.
func TestWeApplyContainerdsLayers(t *testing.T) {
	difftest.NeedRoot(t)
	lower := below(t)
	merged := difftest.MountOverlay(t, lower, t.TempDir())
	difftest.Do(t,
		os.RemoveAll(filepath.Join(merged, "a")),
		os.MkdirAll(filepath.Join(merged, "a/b"), 0o700),
		os.Remove(filepath.Join(merged, "f")),
		os.WriteFile(filepath.Join(merged, "a/x"), []byte("x"), 0o4755),
		os.Link(filepath.Join(merged, "a/x"), filepath.Join(merged, "y")),
		unix.Setxattr(filepath.Join(merged, "y"), "security.capability", difftest.FileCapability, 0),
	)
	for _, name := range []string{"a/x", "a/b", "a"} {
		difftest.Do(t, difftest.Touch(filepath.Join(merged, name), 1_600_000_000, 0))
	}
	var b bytes.Buffer
	difftest.Do(t, archive.WriteDiff(t.Context(), &b, lower, merged))
	upper := t.TempDir()
	difftest.Apply(t, upper, b.Bytes(), apply.Options{Overlay: true, Lowers: []string{lower}})
	difftest.CompareTrees(t, merged, difftest.MountOverlay(t, lower, upper), compare.Options{IgnoreRoot: true})
}
