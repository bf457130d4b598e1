package dirtree_test

import (
	"testing"

	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/internal/difftest"
)

// TestNamesOfDirectoriesInOneAnother: the names of all directories on the way share
// what one may take, also those that have been visited.
func TestNamesOfDirectoriesInOneAnother(t *testing.T) {
	root := t.TempDir()
	difftest.CrowdedLevels(t, root)
	h := difftest.WatchHeap(5000)
	visited := 0
	err := dirtree.Tree{Root: root, Visit: func(*dirtree.Entry) error { h.Look(); visited++; return nil }}.Walk(t.Context())
	if want := 1 + difftest.CrowdedEntries; err != nil || visited != want {
		t.Errorf("%d files were visited, want %d, %v", visited, want, err)
	}
	h.Within(t, 12<<20) // of names alone there are 20 MB
}
