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

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/snapshotter"
)

// sealBounded seals a plain upper on an empty image and returns the sealed one, and by
// how many bytes what is reachable grew meanwhile.
func sealBounded(t *testing.T, upper string, image ...string) (string, uint64) {
	t.Helper()
	sealed := t.TempDir()
	stop := watchHeap()
	c := &diff.Container{Overlay: diff.Overlay{Uppers: []string{upper}, Lowers: append(image, t.TempDir())}}
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
	if err := diff.CompareTrees(t.Context(), upper, sealed, diff.CompareOptions{IgnoreRoot: true}); err != nil {
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
