package diff_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/diff/xattr"
)

// attributedDir is a folder on a file system that holds many and large attributes,
// as XFS does.
func attributedDir(t *testing.T) string {
	t.Helper()
	difftest.NeedRoot(t)
	dir, err := os.MkdirTemp("/dev/shm", "baleen-")
	if err != nil {
		t.Skipf("there is no /dev/shm: %v", err)
	}
	t.Cleanup(func() { difftest.Do(t, os.RemoveAll(dir)) })
	if err := unix.Setxattr(dir, "user.large", make([]byte, 60_000), 0); err != nil {
		t.Skipf("the tmpfs of /dev/shm takes no large attributes: %v", err)
	}
	difftest.Do(t, unix.Removexattr(dir, "user.large"))
	return dir
}

// TestAttributesThatNoLayerHolds: what the kernel does not list, and what readers of
// layers do not take, is refused with path, attribute and limit, and is shown.
func TestAttributesThatNoLayerHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		number, size int
		want         []string
	}{
		"names of 100,000 bytes": {400, 1, []string{"dir/f", "list", "65536"}},
		"2,400,000 bytes":        {40, 60_000, []string{"dir/f", "user.0", "983040"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := attributedDir(t)
			upper, lower := filepath.Join(dir, "upper"), filepath.Join(dir, "lower")
			difftest.Do(t, os.MkdirAll(filepath.Join(upper, "dir"), 0o755), os.MkdirAll(filepath.Join(lower, "dir"), 0o755))
			for _, root := range []string{upper, lower} {
				difftest.Do(t, os.WriteFile(filepath.Join(root, "dir/f"), []byte("x"), 0o644))
			}
			difftest.Settle(t, upper)
			difftest.Settle(t, lower)
			for i := range tc.number {
				difftest.Do(t, unix.Setxattr(filepath.Join(upper, "dir/f"), fmt.Sprintf("user.%0240d", i), make([]byte, tc.size), 0))
			}
			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, xattr.ErrTooLarge) {
					t.Errorf("%s gave %v", what, err)
					return
				}
				for _, want := range tc.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s gave %v, which does not name %s", what, err, want)
					}
				}
			}
			c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
			_, err := tarlayer.Write(t.Context(), io.Discard, upper, tarlayer.Options{})
			refused("a layer", err)
			_, err = tarlayer.WriteChanges(t.Context(), io.Discard, c, tarlayer.Options{})
			refused("a layer of changes", err)

			var shown []string
			c.Shown = true
			_, err = c.Walk(t.Context(), func(c *changes.Change) error { shown = append(shown, fmt.Sprint(c.Kind, " ", c.Shown())); return nil })
			if want := fmt.Sprint(changes.Modified, " dir/f"); err != nil || len(shown) == 0 || shown[len(shown)-1] != want {
				t.Errorf("the changes %v are shown, %v", shown, err)
			}
		})
	}
}
