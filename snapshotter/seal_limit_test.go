package snapshotter_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/snapshotter"
)

// TestSealBelowRefusesWhatNoLayerMayHold: the file with which a layer would become too
// large is not copied, whether it could be linked or not.
func TestSealBelowRefusesWhatNoLayerMayHold(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hole"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "hole"), 8<<40); errors.Is(err, unix.EFBIG) {
		t.Skip("the file system has no files of 8 TiB")
	} else if err != nil {
		t.Fatal(err)
	}
	for name, uppers := range map[string][]string{"one upper": {dir}, "a sealed one below": {t.TempDir(), dir}} {
		upper := t.TempDir()
		_, err := snapshotter.SealBelow(ctx, &changes.Container{Overlay: changes.Overlay{Uppers: uppers}}, upper, 0, diff.Limit{})
		if !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), `"hole": a file of 8796093022208 bytes`) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(upper); err != nil || len(left) > 0 {
			t.Errorf("%s: %v was copied, %v", name, left, err)
		}
		stats, err := snapshotter.SealBelow(ctx, &changes.Container{Overlay: changes.Overlay{Uppers: uppers}}, upper, 0, diff.Limit{Bytes: 8 << 40})
		if err != nil || stats.Bytes != 8<<40 {
			t.Errorf("%s, allowed: %+v, %v", name, stats, err)
		}
	}
}
