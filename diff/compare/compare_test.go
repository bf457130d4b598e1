package compare_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/internal/difftest"
)

// plant makes a small tree with a file of every kind; the same one each time.
func plant(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	difftest.Do(t,
		os.Chmod(root, 0o755),
		os.MkdirAll(at("dir/sub"), 0o755),
		os.WriteFile(at("dir/file"), []byte("a whale of a file\n"), 0o644),
		os.WriteFile(at("dir/pair"), []byte("two names\n"), 0o644),
		os.Link(at("dir/pair"), at("dir/sub/pair")),
		os.WriteFile(at("single"), nil, 0o644),
		os.Symlink("dir/file", at("link")),
		unix.Mkfifo(at("fifo"), 0o600),
		unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Setxattr(at("dir/file"), "user.kept", []byte("yes"), 0),
		os.WriteFile(at("sparse"), nil, 0o644),
		os.Truncate(at("sparse"), 8<<20),
	)
	difftest.Settle(t, root)
	return root
}

// replace puts a file of another kind or content in the place of one.
func replace(path string, how func(path string) error) error {
	return errors.Join(os.RemoveAll(path), how(path))
}

func content(text string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(text), 0o644) }
}

// defaultACL has no named users: version 2, then entries for owner, group and others, of
// tag, permissions and an id that means nothing.
const defaultACL = "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x04\x00\x05\x00\xff\xff\xff\xff" + " \x00\x05\x00\xff\xff\xff\xff"

func TestCompareTreesTellsEveryKindOfDifference(t *testing.T) {
	difftest.NeedRoot(t)
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for _, tc := range []struct {
		name   string
		change func(at func(string) string) error
		opts   compare.Options
		keep   bool // the times that the change leaves
		want   []string
	}{
		{name: "nothing", change: func(func(string) string) error { return nil }},
		{name: "a missing file", want: []string{"/single: regular file in A, nothing in B"},
			change: func(at func(string) string) error { return os.Remove(at("single")) }},
		{name: "a missing directory is one path", want: []string{"/dir: directory in A, nothing in B"},
			change: func(at func(string) string) error { return os.RemoveAll(at("dir")) }},
		{name: "an added file", want: []string{"/dir/zebra: nothing in A, FIFO in B"},
			change: func(at func(string) string) error { return unix.Mkfifo(at("dir/zebra"), 0o600) }},
		{name: "a type", want: []string{"/single: regular file in A, directory in B"},
			change: func(at func(string) string) error {
				return replace(at("single"), func(p string) error { return os.Mkdir(p, 0o755) })
			}},
		{name: "content of the same size", want: []string{`/dir/file: content at byte 2 "whale of a file\n" in A, "WHALE of a file\n" in B`},
			change: func(at func(string) string) error {
				return os.WriteFile(at("dir/file"), []byte("a WHALE of a file\n"), 0o644)
			}},
		{name: "content far into a sparse file", want: []string{`/sparse: content at byte 5000000 "` + strings.Repeat(`\x00`, 16) + `" in A, "here` + strings.Repeat(`\x00`, 12) + `" in B`},
			change: func(at func(string) string) error { return writeAt(at("sparse"), 5_000_000, "here") }},
		{name: "size", want: []string{"/dir/file: size 18 in A, 1 in B"},
			change: func(at func(string) string) error { return os.WriteFile(at("dir/file"), []byte("a"), 0o644) }},
		{name: "mode", want: []string{"/dir/file: mode 0644 in A, 0600 in B"},
			change: func(at func(string) string) error { return os.Chmod(at("dir/file"), 0o600) }},
		{name: "sticky, setuid and setgid bits", want: []string{"/dir: mode 0755 in A, 1755 in B", "/single: mode 0644 in A, 6644 in B"},
			change: func(at func(string) string) error {
				return errors.Join(unix.Chmod(at("dir"), 0o1755), unix.Chmod(at("single"), 0o6644))
			}},
		{name: "owner of a link", want: []string{"/link: owner 0:0 in A, 7:4294967294 in B"},
			change: func(at func(string) string) error { return unix.Lchown(at("link"), 7, 4294967294) }},
		{name: "device numbers", want: []string{"/null: device 1:3 in A, 1:5 in B"},
			change: func(at func(string) string) error {
				return replace(at("null"), func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) })
			}},
		{name: "a link's target", want: []string{`/link: target "dir/file" in A, "nowhere" in B`},
			change: func(at func(string) string) error {
				return replace(at("link"), func(p string) error { return os.Symlink("nowhere", p) })
			}},
		{name: "mtime", keep: true, want: []string{"/dir: mtime 2001-09-09T01:46:40Z in A, 2001-09-09T01:46:41Z in B"},
			change: func(at func(string) string) error { return difftest.Touch(at("dir"), 1_000_000_001, 0) }},
		{name: "not the nanoseconds", keep: true,
			change: func(at func(string) string) error { return difftest.Touch(at("dir"), 1_000_000_000, 999_999_999) }},
		{name: "an mtime before 1970 is rounded down", keep: true, want: []string{"/dir: mtime 2001-09-09T01:46:40Z in A, 1969-12-31T23:59:59Z in B"},
			change: func(at func(string) string) error { return difftest.Touch(at("dir"), -1, 999_999_999) }},
		{name: "xattrs", want: []string{`/dir: xattr user.new none in A, "1" in B`, `/dir/file: xattr user.kept "yes" in A, "no" in B`},
			change: func(at func(string) string) error {
				return errors.Join(unix.Setxattr(at("dir"), "user.new", []byte("1"), 0), unix.Setxattr(at("dir/file"), "user.kept", []byte("no"), 0))
			}},
		{name: "an xattr that is gone", want: []string{`/dir/file: xattr user.kept "yes" in A, none in B`},
			change: func(at func(string) string) error { return unix.Removexattr(at("dir/file"), "user.kept") }},
		{name: "a capability", want: []string{`/single: xattr security.capability none in A, "\x01\x00\x00\x02\x00\x04` + strings.Repeat(`\x00`, 14) + `" in B`},
			change: func(at func(string) string) error {
				return unix.Setxattr(at("single"), "security.capability", capability, 0)
			}},
		{name: "an access control list", want: []string{`/dir: xattr system.posix_acl_default none in A, ` + strconv.Quote(defaultACL) + ` in B`},
			change: func(at func(string) string) error {
				return unix.Setxattr(at("dir"), "system.posix_acl_default", []byte(defaultACL), 0)
			}},
		{name: "an xattr that no layer carries", want: []string{`/dir: xattr security.mine none in A, "1" in B`},
			change: func(at func(string) string) error {
				return unix.Setxattr(at("dir"), "security.mine", []byte("1"), 0)
			}},
		{name: "not the xattrs of overlays",
			change: func(at func(string) string) error {
				return errors.Join(unix.Setxattr(at("dir"), "trusted.overlay.opaque", []byte("y"), 0),
					unix.Setxattr(at("dir"), "user.overlay.opaque", []byte("y"), 0))
			}},
		{name: "a hard link that was broken", want: []string{"/dir/sub/pair: the same file as /dir/pair in A, a file of its own in B"},
			change: func(at func(string) string) error { return replace(at("dir/sub/pair"), content("two names\n")) }},
		{name: "a hard link that was broken and written", want: []string{`/dir/sub/pair: content at byte 0 "two names\n" in A, "TWO NAMES\n" in B; the same file as /dir/pair in A, a file of its own in B`},
			change: func(at func(string) string) error { return replace(at("dir/sub/pair"), content("TWO NAMES\n")) }},
		{name: "content of a file that has two names", want: []string{
			`/dir/pair: content at byte 4 "names\n" in A, "NAMES\n" in B`, `/dir/sub/pair: content at byte 4 "names\n" in A, "NAMES\n" in B`},
			change: func(at func(string) string) error { return content("two NAMES\n")(at("dir/pair")) }},
		{name: "a hard link that was made", want: []string{"/single: size 0 in A, 10 in B; a file of its own in A, the same file as /dir/pair in B"},
			change: func(at func(string) string) error {
				return replace(at("single"), func(p string) error { return os.Link(at("dir/pair"), p) })
			}},
		{name: "holes that became data", opts: compare.Options{Holes: true}, want: []string{"/sparse: bytes on disk 0 in A, 8388608 in B"},
			change: func(at func(string) string) error { return os.WriteFile(at("sparse"), make([]byte, 8<<20), 0o644) }},
		{name: "not the holes if they do not matter",
			change: func(at func(string) string) error { return os.WriteFile(at("sparse"), make([]byte, 8<<20), 0o644) }},
		{name: "the root's mode", want: []string{"/: mode 0755 in A, 0700 in B"},
			change: func(at func(string) string) error { return os.Chmod(at(""), 0o700) }},
		{name: "not the root's mode if it does not matter", opts: compare.Options{IgnoreRoot: true},
			change: func(at func(string) string) error { return os.Chmod(at(""), 0o700) }},
		{name: "several at one path", want: []string{"/dir/file: mode 0644 in A, 0600 in B; owner 0:0 in A, 1:2 in B"},
			change: func(at func(string) string) error {
				return errors.Join(os.Chown(at("dir/file"), 1, 2), os.Chmod(at("dir/file"), 0o600))
			}},
		{name: "odd names are quoted", want: []string{`"/dir/\n\xff": nothing in A, regular file in B`},
			change: func(at func(string) string) error { return content("")(at("dir/\n\xff")) }},
		{name: "not what is ignored", opts: compare.Options{Ignore: func(p string) bool { return p == "/dir" }},
			change: func(at func(string) string) error { return os.RemoveAll(at("dir/sub")) }},
		{name: "no hard link to an ignored name", opts: compare.Options{Ignore: func(p string) bool { return p == "/dir/pair" }},
			change: func(at func(string) string) error {
				return replace(at("dir/sub/pair"), content("two names\n"))
			}},
		{name: "not what is accepted", want: []string{"/dir/file: owner 0:0 in A, 1:2 in B"},
			opts: compare.Options{Accept: func(d compare.Difference) bool { return d.Path == "/dir/file" && d.Aspect == compare.Mode }},
			change: func(at func(string) string) error {
				return errors.Join(os.Chown(at("dir/file"), 1, 2), os.Chmod(at("dir/file"), 0o600))
			}},
		{name: "only so many", opts: compare.Options{MaxDifferences: 1}, want: []string{"/dir: directory in A, nothing in B", "and 2 more"},
			change: func(at func(string) string) error {
				return errors.Join(os.RemoveAll(at("dir")), os.Remove(at("single")), os.Remove(at("fifo")))
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, b := plant(t), plant(t)
			difftest.Do(t, tc.change(func(name string) string { return filepath.Join(b, name) }))
			if !tc.keep {
				difftest.Settle(t, b)
			}
			if got := lines(compare.Trees(t.Context(), a, b, tc.opts)); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func writeAt(path string, at int64, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), at)
	return errors.Join(err, f.Close())
}

// lines are an error's, but for the first.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	_, text, _ := strings.Cut(err.Error(), "\n\t")
	return strings.Split(text, "\n\t")
}

func TestCompareTreesLetsOnlyBLackSockets(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	difftest.Do(t, err)
	defer unix.Close(fd)
	difftest.Do(t, os.Chdir(a), unix.Bind(fd, &unix.SockaddrUnix{Name: "s"}), os.Chdir("/"))
	difftest.Settle(t, a)
	difftest.Settle(t, b)
	if got := lines(compare.Trees(t.Context(), a, b, compare.Options{})); got != nil {
		t.Errorf("B without A's socket differs: %v", got)
	}
	for _, tc := range []struct {
		a, b string
		opts compare.Options
		want string
	}{
		{a, b, compare.Options{Sockets: true}, "/s: socket in A, nothing in B"},
		{b, a, compare.Options{}, "/s: nothing in A, socket in B"},
	} {
		if got := lines(compare.Trees(t.Context(), tc.a, tc.b, tc.opts)); !slices.Equal(got, []string{tc.want}) {
			t.Errorf("got %v, want %s", got, tc.want)
		}
	}
}

func TestCompareTreesReadsNoLinkAndNoFIFO(t *testing.T) {
	difftest.NeedRoot(t)
	a, b := plant(t), plant(t)
	// A link to a directory that differs, and one to the tree itself.
	for _, root := range []string{a, b} {
		difftest.Do(t, os.Symlink(root, filepath.Join(root, "self")), os.Symlink("/proc", filepath.Join(root, "proc")))
		difftest.Settle(t, root)
	}
	if got := lines(compare.Trees(t.Context(), a, b, compare.Options{Accept: func(d compare.Difference) bool { return d.Path == "/self" }})); got != nil {
		t.Error(got)
	}
}

func TestCompareTreesOfWideAndDeepDirectories(t *testing.T) {
	wide, deep := t.TempDir(), t.TempDir()
	for i := range 17_000 { // more than are in memory at once
		difftest.Do(t, content("")(filepath.Join(wide, fmt.Sprint(i))))
	}
	difftest.Do(t, os.Chdir(deep))
	for range 1500 { // a longer path than the kernel takes
		difftest.Do(t, os.Mkdir("deeper", 0o755), os.Chdir("deeper"))
	}
	difftest.Do(t, os.Chdir("/"))
	for _, root := range []string{wide, deep} {
		if err := compare.Trees(t.Context(), root, root, compare.Options{Sockets: true, Holes: true}); err != nil {
			t.Error(err)
		}
	}
}

func TestCompareTreesThatCannotBeCompared(t *testing.T) {
	dir := t.TempDir()
	if err := compare.Trees(t.Context(), dir, dir+"/missing", compare.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing tree gave %v", err)
	}
	difftest.Do(t, content("")(dir+"/file"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := compare.Trees(ctx, dir, dir, compare.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context gave %v", err)
	}
}

// Two unpacked images are compared. One of them was used by a container, so the
// files of the runtime are left out.
func ExampleTrees() {
	var roots [2]string
	for i := range roots {
		root, err := os.MkdirTemp("", "example-")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer os.RemoveAll(root)
		roots[i] = root
	}
	then := time.Unix(1_000_000_000, 0)
	for i, mode := range []os.FileMode{0o644, 0o600} {
		path := filepath.Join(roots[i], "motd")
		if err := errors.Join(os.WriteFile(path, []byte("hello\n"), mode), os.Chtimes(path, then, then)); err != nil {
			fmt.Println(err)
			return
		}
	}

	runtimeFiles := []string{"/.dockerenv", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
	err := compare.Trees(context.Background(), roots[0], roots[1], compare.Options{
		Ignore:     func(path string) bool { return slices.Contains(runtimeFiles, path) },
		IgnoreRoot: true,
	})
	var found *compare.TreeDifference
	if errors.As(err, &found) {
		for _, d := range found.Differences {
			fmt.Printf("%s: %s\n", d.Path, d)
		}
	}
	// Output: /motd: mode 0644 in A, 0600 in B
}
