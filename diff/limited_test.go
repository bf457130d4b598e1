package diff_test

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
)

// TestLargeLayersAreRefused: whatever makes a layer refuses one of more than a
// TiB, at once, unless more is allowed.
func TestLargeLayersAreRefused(t *testing.T) {
	dir := t.TempDir()
	holeFile(t, filepath.Join(dir, "hole"), 8*tebibyte)
	c := &diff.Container{Overlay: diff.Overlay{Uppers: []string{dir}}}
	for name, limit := range map[string]diff.Limit{
		"by default":            {},
		"by the operator":       {Bytes: 2 * tebibyte, Allow: "ask the harpooneer"},
		"by a byte, for itself": {Bytes: 8*tebibyte - 1},
	} {
		for way, make := range map[string]func(ctx context.Context) error{
			"sealed": func(ctx context.Context) error {
				_, err := diff.WriteLayer(ctx, io.Discard, dir, diff.TarOptions{Limit: limit})
				return err
			},
			"in place": func(ctx context.Context) error {
				_, _, err := diff.PackChanges(ctx, io.Discard, c, diff.TarOptions{Limit: limit}, diff.Compression{})
				return err
			},
			"measured": func(ctx context.Context) error {
				_, err := diff.LayerSize(ctx, c, limit)
				return err
			},
		} {
			err := make(soon(t))
			if !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), `"hole": a file of 8796093022208 bytes`) || !strings.Contains(err.Error(), limit.Allow) {
				t.Errorf("%s, %s: %v", way, name, err)
			}
		}
	}
	size, err := diff.LayerSize(t.Context(), c, diff.Limit{Bytes: 8 * tebibyte})
	if err != nil || size != 8*tebibyte {
		t.Errorf("measured %d, %v", size, err)
	}
}

// TestAFileOfManyNamesCountsOnce: a layer has its content once.
func TestAFileOfManyNamesCountsOnce(t *testing.T) {
	dir := t.TempDir()
	holeFile(t, filepath.Join(dir, "a"), 600<<30)
	do(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")), os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "c")))
	holeFile(t, filepath.Join(dir, "d"), 1<<30)
	size, err := diff.LayerSize(t.Context(), &diff.Container{Overlay: diff.Overlay{Uppers: []string{dir}}}, diff.Limit{})
	if err != nil || size != 601<<30 {
		t.Errorf("measured %d, %v", size, err)
	}
}

// TestWalkComparesNoHoles: a file that was only copied up is compared with what it was,
// by its data.
func TestWalkComparesNoHoles(t *testing.T) {
	needRoot(t)
	upper, lower := t.TempDir(), t.TempDir()
	for _, dir := range []string{upper, lower} {
		holeFile(t, filepath.Join(dir, "same"), 8*tebibyte)
		holeFile(t, filepath.Join(dir, "other"), 8*tebibyte)
	}
	for dir, text := range map[string]string{upper: "new", lower: "old"} {
		for name, text := range map[string]string{"same": "equal", "other": text} {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
			do(t, err)
			_, err = f.WriteAt([]byte(text), 7*tebibyte)
			do(t, err, f.Close(), os.Chtimes(filepath.Join(dir, name), time.Unix(1, 0), time.Unix(1, 0)))
		}
	}
	var told []string
	c := &diff.Container{Overlay: diff.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
	_, err := c.Walk(soon(t), func(c *diff.Change) error { told = append(told, c.Path); return nil })
	if err != nil || fmt.Sprint(told) != "[other]" {
		t.Errorf("the walk tells %v, %v", told, err)
	}
}
