package apply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/integration/soak/scratch"
)

// contextAsked is a context that calls a function each time when it is asked whether it
// has ended.
type contextAsked struct {
	context.Context
	asked func()
}

func (c contextAsked) Err() error { c.asked(); return c.Context.Err() }

// TestDeletionsOfAnyDepth: a deletion in the layers of a tree holds few names and few
// descriptors of what it removes.
func TestDeletionsOfAnyDepth(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, dir string){
		"wide": difftest.CrowdedLevels,
		"deep": func(t *testing.T, dir string) { difftest.Nest(t, dir, "d", 1900) },
	} {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			difftest.Do(t, os.Mkdir(filepath.Join(target, "gone"), 0o755))
			make(t, filepath.Join(target, "gone"))
			open := scratch.Descriptors(t)
			h, most, calls := difftest.WatchHeap(2000), 0, 0
			ctx := contextAsked{t.Context(), func() {
				h.Look()
				if calls++; calls%500 == 0 {
					most = max(most, scratch.Descriptors(t)-open)
				}
			}}
			layer := difftest.LayerOf(t, difftest.Reg(".wh.gone", ""), difftest.Reg("stays", "x"))
			_, _, err := apply.ToDir(ctx, bytes.NewReader(layer), target, apply.Options{})
			difftest.Do(t, err)
			if _, err := os.Lstat(filepath.Join(target, "gone")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it is there: %v", err)
			}
			if most == 0 || most > 80 {
				t.Errorf("%d files were open", most)
			}
			h.Within(t, 12<<20)
		})
	}
}

// TestDeletionAroundAMount: what is mounted in a tree is no layer's, so the tree is not
// deleted, nor what has the name of the mount elsewhere.
func TestDeletionAroundAMount(t *testing.T) {
	for _, mark := range []string{".wh.gone", "gone/.wh..wh..opq"} {
		t.Run(mark, func(t *testing.T) {
			target := t.TempDir()
			mounted, beside := filepath.Join(target, "gone", "mounted"), filepath.Join(target, "mounted")
			difftest.Do(t, os.MkdirAll(mounted, 0o755))
			difftest.Do(t, os.Mkdir(beside, 0o755))
			difftest.Do(t, unix.Mount("tmpfs", mounted, "tmpfs", 0, ""))
			t.Cleanup(func() { difftest.Do(t, unix.Unmount(mounted, 0)) })
			difftest.Do(t, os.WriteFile(filepath.Join(mounted, "precious"), nil, 0o644))
			_, _, err := apply.ToDir(t.Context(), bytes.NewReader(difftest.LayerOf(t, difftest.Reg(mark, ""))), target, apply.Options{})
			if !errors.Is(err, diff.ErrUnsupported) || !strings.Contains(err.Error(), "mounted") {
				t.Errorf("got %v", err)
			}
			for _, path := range []string{filepath.Join(mounted, "precious"), beside} {
				if _, err := os.Lstat(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestDeletionSparesManyFiles: a deletion spares what its layer made, also if that is too
// much to be kept in memory.
func TestDeletionSparesManyFiles(t *testing.T) {
	const files = 100_000
	target := t.TempDir()
	difftest.Do(t, os.Mkdir(filepath.Join(target, "d"), 0o755))
	difftest.Do(t, os.WriteFile(filepath.Join(target, "d", "old"), nil, 0o644))
	var entries []difftest.Member
	for i := range files {
		entries = append(entries, difftest.Reg(fmt.Sprint("d/", i), ""))
	}
	layer := difftest.LayerOf(t, append(entries, difftest.Reg("d/.wh..wh..opq", ""))...)
	open := scratch.Descriptors(t)
	_, _, err := apply.ToDir(t.Context(), bytes.NewReader(layer), target, apply.Options{})
	difftest.Do(t, err)
	names, err := os.ReadDir(filepath.Join(target, "d"))
	difftest.Do(t, err)
	if len(names) != files || slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "old" }) {
		t.Errorf("%d files are left, want %d", len(names), files)
	}
	if now := scratch.Descriptors(t); now != open {
		t.Errorf("%d files are open, %d before", now, open)
	}
}
