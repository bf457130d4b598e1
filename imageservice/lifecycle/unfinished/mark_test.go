package unfinished_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

func TestMarks(t *testing.T) {
	for name, m := range map[string]struct{ set, clear func(string) error }{
		"creating":  {unfinished.MarkCreating, unfinished.UnmarkCreated},
		"restoring": {unfinished.MarkRestoring, unfinished.UnmarkRestored},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "containers", id)
			if unfinished.IsMarked(root) {
				t.Error("marked before there is a folder")
			}
			for range 2 {
				if err := m.set(root); err != nil || !unfinished.IsMarked(root) {
					t.Fatal("not marked:", err)
				}
			}
			for range 2 {
				if err := m.clear(root); err != nil || unfinished.IsMarked(root) {
					t.Fatal("still marked:", err)
				}
			}
			if err := os.Remove(root); err != nil {
				t.Error("the folder has more than a mark:", err)
			}
		})
	}
}

func TestMarksFailWithAClass(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(file, id)
	for name, f := range map[string]func(string) error{
		"MarkCreating": unfinished.MarkCreating, "MarkRestoring": unfinished.MarkRestoring,
		"UnmarkCreated": unfinished.UnmarkCreated, "UnmarkRestored": unfinished.UnmarkRestored,
	} {
		if err := f(root); !errdefs.IsInternal(err) {
			t.Errorf("%s below a file: %v", name, err)
		}
	}
}
