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
			do(t, os.WriteFile(name, nil, 0o644))
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
		walkCrowd(t, diff.Overlay{Uppers: []string{full}, Lowers: []string{empty}}, names, bound)
	})
	t.Run("written as a layer", func(t *testing.T) {
		h := watchHeap(50)
		stats, err := diff.WriteLayer(t.Context(), h, full, diff.TarOptions{})
		if err != nil || stats.Entries != names {
			t.Errorf("%d entries, %v", stats.Entries, err)
		}
		h.within(t, bound)
	})
	t.Run("deleted", func(t *testing.T) {
		needRoot(t)
		image, upper := t.TempDir(), t.TempDir()
		do(t, os.Rename(full, filepath.Join(image, "d")), os.Mkdir(filepath.Join(upper, "d"), 0o755),
			unix.Setxattr(filepath.Join(upper, "d"), "trusted.overlay.opaque", []byte("y"), 0))
		walkCrowd(t, diff.Overlay{Uppers: []string{upper}, Lowers: []string{image}}, names+1, bound)
	})
}

// walkCrowd walks an overlay of that many changes, which must come in order.
func walkCrowd(t *testing.T, o diff.Overlay, want int64, bound uint64) {
	t.Helper()
	h, last := watchHeap(50_000), ""
	c := diff.Container{Overlay: o}
	stats, err := c.Walk(t.Context(), func(c *diff.Change) error {
		if c.Path <= last {
			return fmt.Errorf("%s comes after %s", c.Path, last)
		}
		last = c.Path
		h.look()
		return nil
	})
	if err != nil || stats.Changes != want {
		t.Errorf("%d changes, %v", stats.Changes, err)
	}
	h.within(t, bound)
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
	do(t, os.MkdirAll(dir, 0o755), os.Mkdir(elsewhere, 0o755))
	for i := range files {
		name := fmt.Sprintf("file-%07d", i)
		do(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644), os.Link(filepath.Join(dir, name), filepath.Join(elsewhere, name)))
	}
	t.Run("written as a layer", func(t *testing.T) {
		h := watchHeap(1)
		if _, err := diff.WriteLayer(t.Context(), h, tree, diff.TarOptions{}); err != nil {
			t.Fatal(err)
		}
		h.within(t, bound)
	})
	t.Run("without temporary files", func(t *testing.T) {
		lower := t.TempDir()
		t.Setenv("TMPDIR", "/nowhere")
		c := &diff.Container{Overlay: diff.Overlay{Uppers: []string{tree}, Lowers: []string{lower}}}
		_, err := diff.WriteChanges(t.Context(), io.Discard, c, diff.TarOptions{})
		if errors.Is(err, diff.ErrChanged) || err == nil || !strings.Contains(err.Error(), "/nowhere") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("walked", func(t *testing.T) {
		walkCrowd(t, diff.Overlay{Uppers: []string{tree}, Lowers: []string{t.TempDir()}}, files+20, names)
	})
	t.Run("measured", func(t *testing.T) {
		c := &diff.Container{Overlay: diff.Overlay{Uppers: []string{tree}, Lowers: []string{t.TempDir()}}}
		h := watchHeap(50_000)
		_, err := diff.Limited(c, diff.Limit{}).Walk(t.Context(), func(*diff.Change) error { h.look(); return nil })
		do(t, err)
		h.within(t, names)
	})
}

// levels is how many directories lie in one another: more than a path can name,
// if their names are long.
const levels = 1000

func TestAThousandNestedDirectories(t *testing.T) {
	upper, image, applied := t.TempDir(), t.TempDir(), t.TempDir()
	nest(t, upper, "d", levels)
	nest(t, image, "d", levels)
	c := diff.Container{Overlay: diff.Overlay{Uppers: []string{upper}, Lowers: []string{image}}}
	stats, err := c.Walk(t.Context(), func(c *diff.Change) error { _, err := c.Xattrs(); return err })
	if err != nil || stats.Changes != levels+1 {
		t.Errorf("%d changes, %v", stats.Changes, err)
	}
	var layer bytes.Buffer
	if _, err := diff.WriteLayer(t.Context(), &layer, upper, diff.TarOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := diff.Apply(t.Context(), &layer, applied, diff.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := diff.CompareTrees(t.Context(), upper, applied, diff.CompareOptions{IgnoreRoot: true}); err != nil {
		t.Error(err)
	}
}

// A path that is too long for system calls can be made, but not be unpacked: it
// is refused before anybody gets such a layer. What no layer is made of is walked.
func TestPathsLongerThanAnyUnpackerTakes(t *testing.T) {
	root, below := t.TempDir(), t.TempDir()
	nest(t, root, "directory", levels)
	walk := func(c diff.Container, visit func(*diff.Change)) (diff.WalkStats, error) {
		c.Overlay = diff.Overlay{Uppers: []string{root}, Lowers: []string{below}}
		return c.Walk(t.Context(), func(c *diff.Change) error { visit(c); return nil })
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, unix.ENAMETOOLONG) || !errors.Is(err, diff.ErrTooLong) || !strings.Contains(err.Error(), "directory/directory") || !strings.Contains(err.Error(), "4095") || len(err.Error()) > 500 {
			t.Errorf("%s gave %v", what, err)
		}
	}
	_, err := walk(diff.Container{}, func(*diff.Change) {})
	refused("a walk for a layer", err)
	_, err = diff.WriteLayer(t.Context(), io.Discard, root, diff.TarOptions{})
	refused("the layer", err)

	deepest := 0
	stats, err := walk(diff.Container{Reserved: true}, func(c *diff.Change) { deepest = max(deepest, c.Depth()) })
	if err != nil || stats.Changes != levels+1 || deepest != levels+1 {
		t.Errorf("%d changes to depth %d, %v", stats.Changes, deepest, err)
	}
	// Paths are of a multiple of 10 bytes, less one.
	var shown []string
	_, err = walk(diff.Container{Shown: true}, func(c *diff.Change) { shown = append(shown, c.Shown()) })
	if want := "... (a path of 4099 bytes, of which a layer holds up to 4095)"; err != nil || len(shown) != 410 || !strings.HasSuffix(shown[409], want) {
		t.Errorf("%d changes are shown, %v", len(shown), err)
	}
}
