package diff_test

import (
	"testing"

	"github.com/baleen-project/baleen/diff"
)

// TestNamesOfDirectoriesInOneAnother: the names of all directories on the way share
// what one may take, also those that have been visited.
func TestNamesOfDirectoriesInOneAnother(t *testing.T) {
	root := t.TempDir()
	crowdedLevels(t, root)
	h := watchHeap(5000)
	visited := 0
	err := diff.Tree{Root: root, Visit: func(*diff.TreeEntry) error { h.look(); visited++; return nil }}.Walk(t.Context())
	if want := 1 + crowdedEntries; err != nil || visited != want {
		t.Errorf("%d files were visited, want %d, %v", visited, want, err)
	}
	h.within(t, 12<<20) // of names alone there are 20 MB
}
