package snapshotter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

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
