package changes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// TestLargeLayersAreRefused: whatever makes a layer refuses one of more than a
// TiB, at once, unless more is allowed.
func TestLargeLayersAreRefused(t *testing.T) {
	dir := t.TempDir()
	difftest.HoleFile(t, filepath.Join(dir, "hole"), 8*difftest.Tebibyte)
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{dir}}}
	for name, limit := range map[string]diff.Limit{
		"by default":            {},
		"by the operator":       {Bytes: 2 * difftest.Tebibyte, Allow: "ask the harpooneer"},
		"by a byte, for itself": {Bytes: 8*difftest.Tebibyte - 1},
	} {
		for way, make := range map[string]func(ctx context.Context) error{
			"sealed": func(ctx context.Context) error {
				_, err := tarlayer.Write(ctx, io.Discard, dir, tarlayer.Options{Limit: limit})
				return err
			},
			"in place": func(ctx context.Context) error {
				_, _, err := tarlayer.PackChanges(ctx, io.Discard, c, tarlayer.Options{Limit: limit}, compress.Method{})
				return err
			},
			"measured": func(ctx context.Context) error {
				_, err := changes.LayerSize(ctx, c, limit)
				return err
			},
		} {
			err := make(difftest.Soon(t))
			if !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), `"hole": a file of 8796093022208 bytes`) || !strings.Contains(err.Error(), limit.Allow) {
				t.Errorf("%s, %s: %v", way, name, err)
			}
		}
	}
	size, err := changes.LayerSize(t.Context(), c, diff.Limit{Bytes: 8 * difftest.Tebibyte})
	if err != nil || size != 8*difftest.Tebibyte {
		t.Errorf("measured %d, %v", size, err)
	}
}

// TestAFileOfManyNamesCountsOnce: a layer has its content once.
func TestAFileOfManyNamesCountsOnce(t *testing.T) {
	dir := t.TempDir()
	difftest.HoleFile(t, filepath.Join(dir, "a"), 600<<30)
	difftest.Do(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")), os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "c")))
	difftest.HoleFile(t, filepath.Join(dir, "d"), 1<<30)
	size, err := changes.LayerSize(t.Context(), &changes.Container{Overlay: changes.Overlay{Uppers: []string{dir}}}, diff.Limit{})
	if err != nil || size != 601<<30 {
		t.Errorf("measured %d, %v", size, err)
	}
}

// TestWalkComparesNoHoles: a file that was only copied up is compared with what it was,
// by its data.
func TestWalkComparesNoHoles(t *testing.T) {
	difftest.NeedRoot(t)
	upper, lower := t.TempDir(), t.TempDir()
	for _, dir := range []string{upper, lower} {
		difftest.HoleFile(t, filepath.Join(dir, "same"), 8*difftest.Tebibyte)
		difftest.HoleFile(t, filepath.Join(dir, "other"), 8*difftest.Tebibyte)
	}
	for dir, text := range map[string]string{upper: "new", lower: "old"} {
		for name, text := range map[string]string{"same": "equal", "other": text} {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
			difftest.Do(t, err)
			_, err = f.WriteAt([]byte(text), 7*difftest.Tebibyte)
			difftest.Do(t, err, f.Close(), os.Chtimes(filepath.Join(dir, name), time.Unix(1, 0), time.Unix(1, 0)))
		}
	}
	var told []string
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
	_, err := c.Walk(difftest.Soon(t), func(c *changes.Change) error { told = append(told, c.Path); return nil })
	if err != nil || fmt.Sprint(told) != "[other]" {
		t.Errorf("the walk tells %v, %v", told, err)
	}
}
