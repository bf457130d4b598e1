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

	"github.com/baleen-project/baleen/diff"
)

// attributedDir is a folder on a file system that holds many and large attributes,
// as XFS does.
func attributedDir(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("/dev/shm", "baleen-")
	if err != nil {
		t.Skipf("there is no /dev/shm: %v", err)
	}
	t.Cleanup(func() { do(t, os.RemoveAll(dir)) })
	if err := unix.Setxattr(dir, "user.large", make([]byte, 60_000), 0); err != nil {
		t.Skipf("the tmpfs of /dev/shm takes no large attributes: %v", err)
	}
	do(t, unix.Removexattr(dir, "user.large"))
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
			do(t, os.MkdirAll(filepath.Join(upper, "dir"), 0o755), os.MkdirAll(filepath.Join(lower, "dir"), 0o755))
			for _, root := range []string{upper, lower} {
				do(t, os.WriteFile(filepath.Join(root, "dir/f"), []byte("x"), 0o644))
			}
			settle(t, upper)
			settle(t, lower)
			for i := range tc.number {
				do(t, unix.Setxattr(filepath.Join(upper, "dir/f"), fmt.Sprintf("user.%0240d", i), make([]byte, tc.size), 0))
			}
			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, diff.ErrTooLarge) {
					t.Errorf("%s gave %v", what, err)
					return
				}
				for _, want := range tc.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s gave %v, which does not name %s", what, err, want)
					}
				}
			}
			c := &diff.Container{Overlay: diff.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
			_, err := diff.WriteLayer(t.Context(), io.Discard, upper, diff.TarOptions{})
			refused("a layer", err)
			_, err = diff.WriteChanges(t.Context(), io.Discard, c, diff.TarOptions{})
			refused("a layer of changes", err)

			var shown []string
			c.Shown = true
			_, err = c.Walk(t.Context(), func(c *diff.Change) error { shown = append(shown, fmt.Sprint(c.Kind, " ", c.Shown())); return nil })
			if want := fmt.Sprint(diff.Modified, " dir/f"); err != nil || len(shown) == 0 || shown[len(shown)-1] != want {
				t.Errorf("the changes %v are shown, %v", shown, err)
			}
		})
	}
}
