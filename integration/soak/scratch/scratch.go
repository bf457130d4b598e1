package scratch

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/tarlayer"
)

// size of the file system, and how many files it holds.
const options = "size=64m,nr_inodes=20000,mode=0755"

// Dir mounts a file system and returns its root. It is gone when the test ends.
// Only root can mount: others skip the test.
//
// The caller's process runs on one processor until the test ends: with several,
// goroutines meet in another order each time, and a fuzzer takes that for new
// coverage.
func Dir(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system, make devices and change owners")
	}
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	dir := t.TempDir()
	if err := unix.Mount("baleen-scratch", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Empty removes all that is in a folder, of any depth.
func Empty(t testing.TB, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := d.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
}

// openForGood has this process open what the packages below diff keep open once they
// have opened the first file.
var openForGood = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "baleen-scratch-")
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600)
	if err == nil {
		_, err = tarlayer.Write(context.Background(), io.Discard, dir, tarlayer.Options{})
	}
	return errors.Join(err, os.RemoveAll(dir))
})

// Descriptors is how many files this process has open.
func Descriptors(t testing.TB) int {
	t.Helper()
	if err := openForGood(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size > 0 { // since Linux 6.2 the size is the number
		return int(st.Size) - 1
	}
	var (
		buf   [4096]byte
		count int
	)
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return count - 1
		}
		_, more, _ := unix.ParseDirent(buf[:n], -1, nil)
		count += more
	}
}
