package diff_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// TestNamesOfDirectoriesInOneAnother: the names of all directories on the way share
// what one may take, also those that have been visited.
func TestNamesOfDirectoriesInOneAnother(t *testing.T) {
	const levels, names, bound = 8, 10_000, 12 << 20 // of names alone there are 20 MB
	root := t.TempDir()
	at, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	do(t, err)
	long := func(i int) string { return fmt.Sprintf("%s%06d", strings.Repeat("n", 244), i) }
	for range levels {
		do(t, unix.Mknodat(at, long(0), unix.S_IFREG|0o644, 0))
		for i := 1; i < names; i++ {
			do(t, unix.Linkat(at, long(0), at, long(i), 0))
		}
		// The walk goes down when nearly all have been visited.
		do(t, unix.Mknodat(at, "z", unix.S_IFREG|0o644, 0), unix.Mkdirat(at, "y", 0o755))
		sub, err := unix.Openat(at, "y", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		do(t, errors.Join(err, unix.Close(at)))
		at = sub
	}
	do(t, unix.Close(at))
	h := watchHeap(5000)
	visited := 0
	err = diff.Tree{Root: root, Visit: func(*diff.TreeEntry) error { h.look(); visited++; return nil }}.Walk(t.Context())
	if want := 1 + levels*(names+2); err != nil || visited != want {
		t.Errorf("%d files were visited, want %d, %v", visited, want, err)
	}
	h.within(t, bound)
}
