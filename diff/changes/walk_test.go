package changes_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/difftest"
)

func TestUntouched(t *testing.T) {
	difftest.NeedRoot(t)
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
				difftest.Do(t, os.Mkdir(d, 0o755))
				dirs = append(dirs, d)
			}
			difftest.Do(t, os.WriteFile(filepath.Join(dirs[2], "f"), []byte("x"), 0o644), tc.change(dirs[0], dirs[1]))
			c := &changes.Container{Overlay: changes.Overlay{Uppers: dirs[:2], Lowers: dirs[2:]}}
			got, err := c.Untouched(t.Context())
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v", got, err)
			}
			stats, err := c.Walk(t.Context(), func(*changes.Change) error { return nil })
			if err != nil || (stats.Changes == 0) != tc.want {
				t.Errorf("but the walk tells %d changes, %v", stats.Changes, err)
			}
		})
	}
}

// TestWalkWhileNamesGo: what goes during a walk is an error to those who keep
// what they are told, and is left out for those who show it.
func TestWalkWhileNamesGo(t *testing.T) {
	difftest.NeedRoot(t)
	for name, gone := range map[string]string{"a file": "b", "a directory": "c", "what is in one": "c/f"} {
		for _, shown := range []bool{false, true} {
			upper, lower := t.TempDir(), t.TempDir()
			difftest.Do(t, os.Mkdir(filepath.Join(upper, "a"), 0o755), os.Mkdir(filepath.Join(upper, "c"), 0o755))
			for _, file := range []string{"b", "c/e", "c/f", "d"} {
				difftest.Do(t, os.WriteFile(filepath.Join(upper, file), nil, 0o644))
			}
			var told []string
			c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}, Shown: shown}
			at := map[string]string{"b": "a", "c": "a", "c/f": "c/e"}[gone]
			_, err := c.Walk(t.Context(), func(change *changes.Change) error {
				told = append(told, change.Path)
				if change.Path == at {
					return os.RemoveAll(filepath.Join(upper, gone))
				}
				return nil
			})
			switch {
			case !shown && !errors.Is(err, diff.ErrChanged):
				t.Errorf("%s: the error is %v", name, err)
			case shown && (err != nil || slices.Contains(told, gone) || told[len(told)-1] != "d"):
				t.Errorf("%s: %v, told %v", name, err, told)
			}
		}
	}
}
