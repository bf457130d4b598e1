package snapshotter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// TestCopyRemapped copies a tree of an image with other owners: not the holes of its
// files, nor what the machine trusts of their attributes; and it ends with its context.
func TestCopyRemapped(t *testing.T) {
	needRoot(t)
	from, to := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(from, name) }
	do(t,
		os.Chmod(from, 0o751), os.Chown(from, 0, 3), unix.Setxattr(from, "user.root", []byte("1"), 0),
		os.Mkdir(at("dir"), 0o1777), os.Chmod(at("dir"), 0o1777|os.ModeSticky),
		os.WriteFile(at("dir/suid"), []byte("text"), 0o755), os.Chown(at("dir/suid"), 5, 6), os.Chmod(at("dir/suid"), 0o755|os.ModeSetuid),
		os.Link(at("dir/suid"), at("linked")), os.Symlink("dir", at("link")),
		unix.Setxattr(at("dir/suid"), "user.mine", []byte("1"), 0), unix.Setxattr(at("dir/suid"), "security.ima", []byte("1"), 0),
		os.WriteFile(at("hole"), nil, 0o644),
		os.Chtimes(at("dir"), time.Unix(77, 78), time.Unix(77, 78)), os.Chtimes(at("dir/suid"), time.Unix(78, 79), time.Unix(78, 79)),
	)
	if err := os.Truncate(at("hole"), 8<<40); errors.Is(err, unix.EFBIG) {
		t.Log("the file system has no files of 8 TiB")
	} else if err != nil {
		t.Fatal(err)
	}
	bind := func(dir string) []mount.Mount {
		return []mount.Mount{{Type: "bind", Source: dir, Options: []string{"rbind", "rw"}}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	do(t, snapshotter.CopyRemapped(ctx, bind(to), bind(from), shift().ToHost))
	for name, want := range map[string]string{
		".": "40751 100000:100003 [user.root]", "dir": "41777 100000:100000 []", "dir/suid": "104755 100005:100006 [user.mine]",
		"linked": "104755 100005:100006 [user.mine]", "link": "120777 100000:100000 []", "hole": "100644 100000:100000 []",
	} {
		var st unix.Stat_t
		do(t, unix.Lstat(filepath.Join(to, name), &st))
		var names []string
		for _, attr := range []string{"user.root", "user.mine", "security.ima"} {
			if _, err := unix.Lgetxattr(filepath.Join(to, name), attr, nil); err == nil {
				names = append(names, attr)
			}
		}
		if got := fmt.Sprintf("%o %d:%d %v", st.Mode, st.Uid, st.Gid, names); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
		if name == "hole" && st.Blocks > 64 {
			t.Errorf("the hole takes %d blocks", st.Blocks)
		}
		if want, known := map[string]unix.Timespec{"dir": {Sec: 77, Nsec: 78}, "linked": {Sec: 78, Nsec: 79}}[name]; known && st.Mtim != want {
			t.Errorf("%s is of %v", name, st.Mtim)
		}
	}
	cancel()
	if err := snapshotter.CopyRemapped(ctx, bind(t.TempDir()), bind(from), shift().ToHost); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCopyRemappedFromAnOverlay: the kernel does not copy ranges from there.
func TestCopyRemappedFromAnOverlay(t *testing.T) {
	needRoot(t)
	upper, lower, to := t.TempDir(), t.TempDir(), t.TempDir()
	text := bytes.Repeat([]byte("blubber"), 200_000)
	do(t,
		os.WriteFile(filepath.Join(lower, "large"), text, 0o644), os.WriteFile(filepath.Join(lower, "gone"), text, 0o644),
		unix.Mknod(filepath.Join(upper, "gone"), unix.S_IFCHR, 0), os.WriteFile(filepath.Join(upper, "small"), nil, 0o644),
	)
	from := []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + upper + ":" + lower}}}
	do(t, snapshotter.CopyRemapped(t.Context(), []mount.Mount{{Type: "bind", Source: to, Options: []string{"rbind", "rw"}}}, from, shift().ToHost))
	entries, err := os.ReadDir(to)
	do(t, err)
	if fmt.Sprint(entries) != "[- large - small]" {
		t.Errorf("the copy has %v", entries)
	}
	if got, err := os.ReadFile(filepath.Join(to, "large")); err != nil || !bytes.Equal(got, text) {
		t.Errorf("a file is %d bytes, %v", len(got), err)
	}
}

// TestCopyRemappedAtTheEndOfPaths copies files of one inode and whole times at the
// longest paths that a layer holds; below a mount point they are too long.
func TestCopyRemappedAtTheEndOfPaths(t *testing.T) {
	needRoot(t)
	const longest = 4095
	from, to := t.TempDir(), t.TempDir()
	times := []unix.Timespec{{Sec: 5, Nsec: 6}, {Sec: 77, Nsec: 78}}
	names := strings.Split(strings.Repeat(strings.Repeat("n", 250)+"/", longest/251), "/")
	last := strings.Repeat("l", longest-251*(longest/251))
	fd, err := unix.Open(from, unix.O_PATH, 0)
	do(t, err)
	for _, name := range names[:len(names)-1] {
		do(t, unix.Mkdirat(fd, name, 0o755))
		fd = below(t, fd, name)
	}
	do(t, unix.Mknodat(fd, last, unix.S_IFREG|0o644, 0), unix.Linkat(fd, last, fd, "second", 0), unix.UtimesNanoAt(fd, last, times, 0), unix.Close(fd))

	bind := func(dir string) []mount.Mount {
		return []mount.Mount{{Type: "bind", Source: dir, Options: []string{"rbind", "rw"}}}
	}
	do(t, snapshotter.CopyRemapped(t.Context(), bind(to), bind(from), shift().ToHost))

	fd, err = unix.Open(to, unix.O_PATH, 0)
	do(t, err)
	for _, name := range names[:len(names)-1] {
		fd = below(t, fd, name)
	}
	for _, name := range []string{last, "second"} {
		var st unix.Stat_t
		do(t, unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW))
		if st.Nlink != 2 || st.Uid != 100000 || st.Mtim != times[1] {
			t.Errorf("a file has %d names, belongs to %d and is of %v", st.Nlink, st.Uid, st.Mtim)
		}
	}
	do(t, unix.Close(fd))
}

// TestRemapOfLinksOnAnOverlay: the names of a file stay its names when it is copied
// up, wherever they are and whatever changes, be it an access control list alone.
func TestRemapOfLinksOnAnOverlay(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	at := func(names ...string) string { return filepath.Join(append([]string{base}, names...)...) }
	deep := strings.Repeat(strings.Repeat("n", 250)+"/", 15) // and as long as fits below
	do(t, os.Mkdir(at("lower"), 0o755), os.Mkdir(at("upper"), 0o755), os.Mkdir(at("work"), 0o755), os.MkdirAll(at("lower", deep), 0o755), os.Mkdir(at("lower/d"), 0o755))
	for i, name := range []string{"owned", "listed"} {
		first := at("lower", deep, name)
		do(t, os.WriteFile(first, []byte(name), 0o644), os.Chown(first, 5*(1-i), 0), os.Link(first, at("lower/d", name)), os.Link(first, at("lower", "z"+name)))
	}
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255}
	if err := unix.Setxattr(at("lower/d/listed"), "system.posix_acl_access", acl, 0); err != nil {
		t.Skipf("the file system has no access control lists: %v", err)
	}
	stays := func(id uint32, _ idmap.Kind) (uint32, error) {
		if id == 0 {
			return 0, nil
		}
		return id + 100, nil
	}
	mounts := []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + at("lower"), "upperdir=" + at("upper"), "workdir=" + at("work")}}}
	do(t, snapshotter.Remap(t.Context(), mounts, stays))
	for name, uid := range map[string]uint32{"owned": 105, "listed": 0} {
		var first unix.Stat_t
		do(t, unix.Lstat(at("upper", deep, name), &first))
		for _, other := range []string{at("upper/d", name), at("upper", "z"+name)} {
			var st unix.Stat_t
			do(t, unix.Lstat(other, &st))
			if st.Ino != first.Ino || st.Uid != uid {
				t.Errorf("%s is inode %d of user %d, want %d of %d", filepath.Base(other), st.Ino, st.Uid, first.Ino, uid)
			}
		}
	}
	list := make([]byte, len(acl))
	if n, err := unix.Getxattr(at("upper/zlisted"), "system.posix_acl_access", list); err != nil || n != len(acl) || list[16] != 107 {
		t.Errorf("the list is %x, %v", list[:max(n, 0)], err)
	}
}
