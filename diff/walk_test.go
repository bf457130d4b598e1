package diff_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

func TestUntouched(t *testing.T) {
	needRoot(t)
	for name, tc := range map[string]struct {
		change func(upper, below string) error
		want   bool
	}{
		"nothing":                 {func(_, _ string) error { return nil }, true},
		"a file":                  {func(upper, _ string) error { return os.WriteFile(filepath.Join(upper, "f"), nil, 0o644) }, false},
		"a deletion":              {func(upper, _ string) error { return unix.Mknod(filepath.Join(upper, "f"), unix.S_IFCHR, 0) }, false},
		"a file in the one below": {func(_, below string) error { return os.WriteFile(filepath.Join(below, "f"), nil, 0o644) }, false},
		"the mode of the root":    {func(upper, _ string) error { return os.Chmod(upper, 0o700) }, false},
		"the owner of the root":   {func(upper, _ string) error { return os.Chown(upper, 1, 0) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var dirs []string
			for _, d := range []string{"upper", "below", "image"} {
				d = filepath.Join(t.TempDir(), d)
				do(t, os.Mkdir(d, 0o755))
				dirs = append(dirs, d)
			}
			do(t, os.WriteFile(filepath.Join(dirs[2], "f"), []byte("x"), 0o644), tc.change(dirs[0], dirs[1]))
			c := &diff.Container{Overlay: diff.Overlay{Uppers: dirs[:2], Lowers: dirs[2:]}}
			got, err := c.Untouched(t.Context())
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v", got, err)
			}
			stats, err := c.Walk(t.Context(), func(*diff.Change) error { return nil })
			if err != nil || (stats.Changes == 0) != tc.want {
				t.Errorf("but the walk tells %d changes, %v", stats.Changes, err)
			}
		})
	}
}
