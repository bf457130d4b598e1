package snapshotter_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/snapshotter"
)

// mappedNest makes a directory in a directory, and so on, that belong to the namespace's
// user 5.
func mappedNest(t *testing.T, root string, levels int, name string) {
	t.Helper()
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	do(t, err)
	for range levels {
		do(t, unix.Mkdirat(fd, name, 0o755), unix.Fchownat(fd, name, 100005, 100006, 0))
		fd = below(t, fd, name)
	}
	do(t, unix.Mknodat(fd, "last", unix.S_IFREG|0o755, 0), unix.Fchownat(fd, "last", 100005, 100006, 0), unix.Fchmodat(fd, "last", 0o4755, 0), unix.Close(fd))
}

func below(t *testing.T, fd int, name string) int {
	t.Helper()
	next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	do(t, err, unix.Close(fd))
	return next
}

// TestUnmapUpperOfAnyDepth maps what no path leads to, with few descriptors.
func TestUnmapUpperOfAnyDepth(t *testing.T) {
	needRoot(t)
	for _, levels := range []int{60, 1500} {
		root, name := t.TempDir(), strings.Repeat("n", 250)
		mappedNest(t, root, levels, name)
		files := fewDescriptors(t, func() (int64, error) { return snapshotter.UnmapUpper(t.Context(), root, shift()) })
		if files != int64(levels)+2 {
			t.Errorf("of %d levels %d files were met", levels, files)
		}
		fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
		do(t, err)
		for level := range levels + 1 {
			at, want := name, "40755 5:6"
			if level == levels {
				at, want = "last", "104755 5:6"
			}
			var st unix.Stat_t
			do(t, unix.Fstatat(fd, at, &st, unix.AT_SYMLINK_NOFOLLOW))
			if got := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid); got != want {
				t.Fatalf("at level %d it is %s, want %s", level, got, want)
			}
			if level < levels {
				fd = below(t, fd, at)
			}
		}
		do(t, unix.Close(fd))
	}
}

// fewDescriptors calls f while this process can open 80 more files.
func fewDescriptors[T any](t *testing.T, f func() (T, error)) T {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	do(t, err)
	var was unix.Rlimit
	do(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	do(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(open)) + 80, Max: was.Max}))
	got, err := f()
	do(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was), err)
	return got
}

// TestUnmapUpperMeetsEachFileOnce maps trees that are wide and deep, so that
// directories are left and opened again in the middle.
func TestUnmapUpperMeetsEachFileOnce(t *testing.T) {
	needRoot(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	root := t.TempDir()
	made := int64(1)
	var grow func(dir string, depth int)
	grow = func(dir string, depth int) {
		for n := range 1 + random.IntN(3) {
			path := filepath.Join(dir, fmt.Sprint("d", n))
			do(t, os.Mkdir(path, 0o755), os.Chown(path, 100005, 100006))
			made++
			if depth > 0 && (n == 0 || depth > 26) {
				grow(path, depth-1)
			}
		}
		for n := range random.IntN(4) {
			path := filepath.Join(dir, fmt.Sprint("f", n))
			do(t, os.WriteFile(path, nil, 0o644), os.Chown(path, 100005, 100006))
			made++
		}
	}
	grow(root, 30)
	for n := range 2000 { // more than is read at once
		path := filepath.Join(root, fmt.Sprintf("%0200d", n))
		do(t, os.Mkdir(path, 0o755), os.Chown(path, 100005, 100006))
		made++
	}
	files, err := snapshotter.UnmapUpper(t.Context(), root, shift())
	if err != nil || files != made {
		t.Errorf("%d files were met of %d: %v", files, made, err)
	}
	do(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		do(t, err, unix.Lstat(path, &st))
		if path != root && (st.Uid != 5 || st.Gid != 6) {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	}))
}

// TestUnmapUpperOfHostileFiles maps files that do not want to be changed: with the
// flags that keep them as they are, and with attributes that leave no room for more.
func TestUnmapUpperOfHostileFiles(t *testing.T) {
	needRoot(t)
	const appendOnly, immutable = 0x20, 0x10
	root := t.TempDir()
	flagged := map[string]int{"append": appendOnly, "immutable": immutable, "dir": immutable}
	for name := range flagged {
		path := filepath.Join(root, name)
		if name == "dir" {
			do(t, os.Mkdir(path, 0o755))
		} else {
			do(t, os.WriteFile(path, nil, 0o755))
		}
		do(t, os.Chown(path, 100005, 100006), os.Chmod(path, 0o755|os.ModeSetuid))
	}
	crowded := filepath.Join(root, "crowded")
	do(t, os.WriteFile(crowded, nil, 0o755), os.Chown(crowded, 100005, 100006), os.Chmod(crowded, 0o755|os.ModeSetuid))
	crowd(t, crowded)
	for name, flag := range flagged {
		setFlag(t, filepath.Join(root, name), flag)
	}
	_, err := snapshotter.UnmapUpper(t.Context(), root, shift())
	for name, flag := range flagged {
		if got := setFlag(t, filepath.Join(root, name), 0); got&flag == 0 {
			t.Errorf("%s has the flags %x", name, got)
		}
	}
	do(t, err)
	for _, name := range []string{"append", "immutable", "dir", "crowded"} {
		var st unix.Stat_t
		do(t, unix.Lstat(filepath.Join(root, name), &st))
		if st.Uid != 5 || st.Gid != 6 || st.Mode&0o7777 != 0o4755 {
			t.Errorf("%s is %o %d:%d", name, st.Mode, st.Uid, st.Gid)
		}
	}
}

// crowd gives a file so many attributes that none of any use fits.
func crowd(t *testing.T, path string) {
	t.Helper()
	n := 0
	for size := 3000; size > 0; {
		err := unix.Setxattr(path, fmt.Sprint("user.", n), make([]byte, size), 0)
		switch n++; {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		case n > 2000:
			t.Log("the file system has room for any number of attributes")
			return
		}
	}
	if err := unix.Setxattr(path, "trusted.baleen.owner", make([]byte, 4), 0); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("there is room for another attribute: %v", err)
	}
}

// setFlag gives a file the flag of chattr(1), or takes all away, and returns those
// that it had.
func setFlag(t *testing.T, path string, flag int) int {
	t.Helper()
	f, err := os.Open(path)
	do(t, err)
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	do(t, err)
	set := int(flags) | flag
	if flag == 0 {
		set &^= 0x30
	}
	do(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, set))
	return int(flags)
}
