package diff_test

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
		"wide": crowdedLevels,
		"deep": func(t *testing.T, dir string) { nest(t, dir, "d", 1900) },
	} {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			do(t, os.Mkdir(filepath.Join(target, "gone"), 0o755))
			make(t, filepath.Join(target, "gone"))
			open := scratch.Descriptors(t)
			h, most, calls := watchHeap(2000), 0, 0
			ctx := contextAsked{t.Context(), func() {
				h.look()
				if calls++; calls%500 == 0 {
					most = max(most, scratch.Descriptors(t)-open)
				}
			}}
			layer := layerOf(t, reg(".wh.gone", ""), reg("stays", "x"))
			_, _, err := diff.Apply(ctx, bytes.NewReader(layer), target, diff.ApplyOptions{})
			do(t, err)
			if _, err := os.Lstat(filepath.Join(target, "gone")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it is there: %v", err)
			}
			if most == 0 || most > 80 {
				t.Errorf("%d files were open", most)
			}
			h.within(t, 12<<20)
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
			do(t, os.MkdirAll(mounted, 0o755))
			do(t, os.Mkdir(beside, 0o755))
			do(t, unix.Mount("tmpfs", mounted, "tmpfs", 0, ""))
			t.Cleanup(func() { do(t, unix.Unmount(mounted, 0)) })
			do(t, os.WriteFile(filepath.Join(mounted, "precious"), nil, 0o644))
			_, _, err := diff.Apply(t.Context(), bytes.NewReader(layerOf(t, reg(mark, ""))), target, diff.ApplyOptions{})
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
	do(t, os.Mkdir(filepath.Join(target, "d"), 0o755))
	do(t, os.WriteFile(filepath.Join(target, "d", "old"), nil, 0o644))
	var entries []member
	for i := range files {
		entries = append(entries, reg(fmt.Sprint("d/", i), ""))
	}
	layer := layerOf(t, append(entries, reg("d/.wh..wh..opq", ""))...)
	open := scratch.Descriptors(t)
	_, _, err := diff.Apply(t.Context(), bytes.NewReader(layer), target, diff.ApplyOptions{})
	do(t, err)
	names, err := os.ReadDir(filepath.Join(target, "d"))
	do(t, err)
	if len(names) != files || slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "old" }) {
		t.Errorf("%d files are left, want %d", len(names), files)
	}
	if now := scratch.Descriptors(t); now != open {
		t.Errorf("%d files are open, %d before", now, open)
	}
}
