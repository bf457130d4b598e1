package diff_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// crowd fills a directory with names. They are hard links of few files: what
// counts are the names, and links are made faster.
func crowd(t *testing.T, dir string, names int) {
	t.Helper()
	const each = 60_000 // ext4 allows 65,000
	var first string
	for i := range names {
		name := filepath.Join(dir, fmt.Sprintf("name-%07d", i*7919%names))
		if i%each == 0 {
			first = name
			difftest.Do(t, os.WriteFile(name, nil, 0o644))
			continue
		}
		if err := unix.Link(first, name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAMillionNamesInOneDirectory: they are read in memory that does not follow
// their number, be they changes or the image's that have gone.
func TestAMillionNamesInOneDirectory(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a million names take half a minute")
	}
	const names, bound = 1_000_000, 48 << 20 // all of them would be 64 MiB and more
	full, empty := t.TempDir(), t.TempDir()
	crowd(t, full, names)
	t.Run("added", func(t *testing.T) {
		walkCrowd(t, changes.Overlay{Uppers: []string{full}, Lowers: []string{empty}}, names, bound)
	})
	t.Run("written as a layer", func(t *testing.T) {
		h := difftest.WatchHeap(50)
		stats, err := tarlayer.Write(t.Context(), h, full, tarlayer.Options{})
		if err != nil || stats.Entries != names {
			t.Errorf("%d entries, %v", stats.Entries, err)
		}
		h.Within(t, bound)
	})
	t.Run("deleted", func(t *testing.T) {
		difftest.NeedRoot(t)
		image, upper := t.TempDir(), t.TempDir()
		difftest.Do(t, os.Rename(full, filepath.Join(image, "d")), os.Mkdir(filepath.Join(upper, "d"), 0o755),
			unix.Setxattr(filepath.Join(upper, "d"), "trusted.overlay.opaque", []byte("y"), 0))
		walkCrowd(t, changes.Overlay{Uppers: []string{upper}, Lowers: []string{image}}, names+1, bound)
	})
}

// walkCrowd walks an overlay of that many changes, which must come in order.
func walkCrowd(t *testing.T, o changes.Overlay, want int64, bound uint64) {
	t.Helper()
	h, last := difftest.WatchHeap(50_000), ""
	c := changes.Container{Overlay: o}
	stats, err := c.Walk(t.Context(), func(c *changes.Change) error {
		if c.Path <= last {
			return fmt.Errorf("%s comes after %s", c.Path, last)
		}
		last = c.Path
		h.Look()
		return nil
	})
	if err != nil || stats.Changes != want {
		t.Errorf("%d changes, %v", stats.Changes, err)
	}
	h.Within(t, bound)
}

// TestFilesWithNamesElsewhere: a file of several names is remembered until all
// have been met, but what is kept in memory does not grow with the number of files
// that have names outside of the tree. A walk itself keeps nothing, and one that
// measures hardly anything.
func TestFilesWithNamesElsewhere(t *testing.T) {
	const files, bound = 120_000, 10 << 20 // without one it would take 14 MB
	const names = 4 << 20                  // those of the directory that is read
	root := t.TempDir()
	tree, elsewhere := filepath.Join(root, "tree"), filepath.Join(root, "elsewhere")
	dir := filepath.Join(tree, strings.Repeat("directory/", 20))
	difftest.Do(t, os.MkdirAll(dir, 0o755), os.Mkdir(elsewhere, 0o755))
	for i := range files {
		name := fmt.Sprintf("file-%07d", i)
		difftest.Do(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644), os.Link(filepath.Join(dir, name), filepath.Join(elsewhere, name)))
	}
	t.Run("written as a layer", func(t *testing.T) {
		h := difftest.WatchHeap(1)
		if _, err := tarlayer.Write(t.Context(), h, tree, tarlayer.Options{}); err != nil {
			t.Fatal(err)
		}
		h.Within(t, bound)
	})
	t.Run("without temporary files", func(t *testing.T) {
		lower := t.TempDir()
		t.Setenv("TMPDIR", "/nowhere")
		c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{tree}, Lowers: []string{lower}}}
		_, err := tarlayer.WriteChanges(t.Context(), io.Discard, c, tarlayer.Options{})
		if errors.Is(err, diff.ErrChanged) || err == nil || !strings.Contains(err.Error(), "/nowhere") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("walked", func(t *testing.T) {
		walkCrowd(t, changes.Overlay{Uppers: []string{tree}, Lowers: []string{t.TempDir()}}, files+20, names)
	})
	t.Run("measured", func(t *testing.T) {
		c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{tree}, Lowers: []string{t.TempDir()}}}
		h := difftest.WatchHeap(50_000)
		_, err := changes.Limited(c, diff.Limit{}).Walk(t.Context(), func(*changes.Change) error { h.Look(); return nil })
		difftest.Do(t, err)
		h.Within(t, names)
	})
}

// levels is how many directories lie in one another: more than a path can name,
// if their names are long.
const levels = 1000

func TestAThousandNestedDirectories(t *testing.T) {
	upper, image, applied := t.TempDir(), t.TempDir(), t.TempDir()
	difftest.Nest(t, upper, "d", levels)
	difftest.Nest(t, image, "d", levels)
	c := changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{image}}}
	stats, err := c.Walk(t.Context(), func(c *changes.Change) error { _, err := c.Xattrs(); return err })
	if err != nil || stats.Changes != levels+1 {
		t.Errorf("%d changes, %v", stats.Changes, err)
	}
	var layer bytes.Buffer
	if _, err := tarlayer.Write(t.Context(), &layer, upper, tarlayer.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := apply.ToDir(t.Context(), &layer, applied, apply.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := compare.Trees(t.Context(), upper, applied, compare.Options{IgnoreRoot: true}); err != nil {
		t.Error(err)
	}
}

// A path that is too long for system calls can be made, but not be unpacked: it
// is refused before anybody gets such a layer. What no layer is made of is walked.
func TestPathsLongerThanAnyUnpackerTakes(t *testing.T) {
	root, below := t.TempDir(), t.TempDir()
	difftest.Nest(t, root, "directory", levels)
	walk := func(c changes.Container, visit func(*changes.Change)) (changes.WalkStats, error) {
		c.Overlay = changes.Overlay{Uppers: []string{root}, Lowers: []string{below}}
		return c.Walk(t.Context(), func(c *changes.Change) error { visit(c); return nil })
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, unix.ENAMETOOLONG) || !errors.Is(err, diff.ErrTooLong) || !strings.Contains(err.Error(), "directory/directory") || !strings.Contains(err.Error(), "4095") || len(err.Error()) > 500 {
			t.Errorf("%s gave %v", what, err)
		}
	}
	_, err := walk(changes.Container{}, func(*changes.Change) {})
	refused("a walk for a layer", err)
	_, err = tarlayer.Write(t.Context(), io.Discard, root, tarlayer.Options{})
	refused("the layer", err)

	deepest := 0
	stats, err := walk(changes.Container{Reserved: true}, func(c *changes.Change) { deepest = max(deepest, c.Depth()) })
	if err != nil || stats.Changes != levels+1 || deepest != levels+1 {
		t.Errorf("%d changes to depth %d, %v", stats.Changes, deepest, err)
	}
	// Paths are of a multiple of 10 bytes, less one.
	var shown []string
	_, err = walk(changes.Container{Shown: true}, func(c *changes.Change) { shown = append(shown, c.Shown()) })
	if want := "... (a path of 4099 bytes, of which a layer holds up to 4095)"; err != nil || len(shown) != 410 || !strings.HasSuffix(shown[409], want) {
		t.Errorf("%d changes are shown, %v", len(shown), err)
	}
}
