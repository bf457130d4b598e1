package snapshotter_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/snapshotter"
)

// sealBounded seals a plain upper on an empty image and returns the sealed one, and by
// how many bytes what is reachable grew meanwhile.
func sealBounded(t *testing.T, upper string, image ...string) (string, uint64) {
	t.Helper()
	sealed := t.TempDir()
	stop := watchHeap()
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: append(image, t.TempDir())}}
	_, err := snapshotter.Seal(t.Context(), c, sealed)
	grown := stop()
	if err != nil {
		t.Fatal(err)
	}
	return sealed, grown
}

// watchHeap looks at the heap again and again, each time after a collection, so
// that garbage does not count. What it returns ends that and tells how much the
// heap had grown at most.
func watchHeap() func() uint64 {
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				most.Store(max(most.Load(), inUse()))
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return max(most.Load(), before) - before
	}
}

func TestSealOfManyNamesIsBounded(t *testing.T) {
	const names, bound = 50_000, 16 << 20
	upper := t.TempDir()
	for i := range names {
		if err := unix.Mknod(filepath.Join(upper, fmt.Sprintf("name-%07d", i)), unix.S_IFREG|0o644, 0); err != nil {
			t.Fatal(err)
		}
	}
	sealed, grown := sealBounded(t, upper)
	within(t, grown, bound)
	if found, err := os.ReadDir(sealed); err != nil || len(found) != names {
		t.Errorf("%d names are sealed, %v", len(found), err)
	}
}

// within fails a test whose heap grew beyond a bound.
func within(t *testing.T, grown, bound uint64) {
	t.Helper()
	t.Logf("the heap grew by %d KiB", grown>>10)
	if grown == 0 || grown > bound {
		t.Errorf("the heap grew by %d bytes, expected are up to %d", grown, bound)
	}
}

// TestSealOfFilesWithNamesElsewhere: a file of several names is remembered until
// all have been met. This is how much it is for each that has names outside,
// however long its path: a million of them take up to 128 MB.
func TestSealOfFilesWithNamesElsewhere(t *testing.T) {
	const files, each, names = 20_000, 128, 3 << 20 // names are those of the directory that is read, with garbage
	root := t.TempDir()
	upper, elsewhere := filepath.Join(root, "upper"), filepath.Join(root, "elsewhere")
	dir := filepath.Join(upper, strings.Repeat("directory/", 20))
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Mkdir(elsewhere, 0o755)); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		name := fmt.Sprintf("file-%07d", i)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), nil, 0o644), os.Link(filepath.Join(dir, name), filepath.Join(elsewhere, name))); err != nil {
			t.Fatal(err)
		}
	}
	_, grown := sealBounded(t, upper)
	within(t, grown, files*each+names)
}

func TestSealOfAThousandNestedDirectories(t *testing.T) {
	upper, image := t.TempDir(), t.TempDir()
	nest(t, upper, 1000)
	nest(t, image, 1000)
	sealed, _ := sealBounded(t, upper, image)
	if err := compare.Trees(t.Context(), upper, sealed, compare.Options{IgnoreRoot: true}); err != nil {
		t.Error(err)
	}
}

// nest makes directories in one another and a file of two names in the last.
func nest(t *testing.T, root string, levels int) {
	t.Helper()
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for range levels {
		if err != nil {
			t.Fatal(err)
		}
		err = unix.Mkdirat(fd, "d", 0o755)
		var sub int
		if err == nil {
			sub, err = unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		}
		err = errors.Join(err, unix.Close(fd))
		fd = sub
	}
	if err == nil {
		err = errors.Join(unix.Mknodat(fd, "bottom", unix.S_IFREG|0o644, 0), unix.Linkat(fd, "bottom", fd, "linked", 0), unix.Close(fd))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSealOfTreesDeeperThanPaths: what no layer is made of may be of any depth. The
// walk comes back to directories that it has closed, in which names are left, and
// to names of a file whose first one no path reaches.
func TestSealOfTreesDeeperThanPaths(t *testing.T) {
	needRoot(t)
	const levels, below = 300, 150
	upper, image, sealed := t.TempDir(), t.TempDir(), t.TempDir()
	name := strings.Repeat("n", 100)
	branches(t, upper, name, levels, "z")
	branches(t, image, name, below, "y")
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{image}}, Reserved: true}
	stats, err := snapshotter.Seal(t.Context(), c, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if err := compare.Trees(t.Context(), upper, sealed, compare.Options{IgnoreRoot: true}); err != nil {
		t.Error(err)
	}
	if want := int64(4*levels + 1); stats.Changes != want { // with the second name of the deepest file
		t.Errorf("%d changes, want %d", stats.Changes, want)
	}
	a, err := dirtree.Measure(t.Context(), upper)
	if err != nil || a.Inodes != 4*levels+1 {
		t.Errorf("the tree has %d files, %v", a.Inodes, err)
	}
	for _, root := range []string{upper, sealed} {
		if err := dirtree.Remove(t.Context(), root); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(root); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", root, err)
		}
	}
}

// branches makes directories in one another, with a file before and a file and a
// directory after the next one in each, and a second name of the last file.
func branches(t *testing.T, root, name string, levels int, last string) {
	t.Helper()
	at, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for i := 0; i < levels && err == nil; i++ {
		err = errors.Join(
			unix.Mkdirat(at, name, 0o755),
			unix.Mknodat(at, "a", unix.S_IFREG|0o644, 0),
			unix.Mkdirat(at, last+"dir", 0o755),
			unix.Mknodat(at, last, unix.S_IFREG|0o644, 0))
		if err == nil && i == levels-1 {
			err = unix.Linkat(at, last, at, last+last, 0)
		}
		sub, openErr := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		err = errors.Join(err, openErr, unix.Close(at))
		at = sub
	}
	if err = errors.Join(err, unix.Close(at)); err != nil {
		t.Fatal(err)
	}
}
