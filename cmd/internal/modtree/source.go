package modtree

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// OpenSource makes dir a copy of the source tree in a folder instead of a pinned
// module, each time anew, since nothing tells whether that has changed. It leaves
// out what a module does not hold: vendor/, .git/ and links.
func OpenSource(pin Pin, source, dir string) (*Tree, error) {
	if info, err := os.Stat(source); err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open source: %s is no folder", source)
	}
	if holds(source, dir) || holds(dir, source) {
		return nil, fmt.Errorf("open source: build folder %s and source %s must not lie in each other: %w", dir, source, fs.ErrInvalid)
	}
	t := &Tree{Pin: pin, Dir: dir, Origin: source}
	return t, t.copyOrigin("source " + source)
}

// holds reports whether a path is a folder or lies below it.
func holds(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
