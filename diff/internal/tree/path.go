package tree

import (
	"bytes"

	"github.com/baleen-project/baleen/diff"
)

// Join is the path of a name in the directory that the walk is in, or only its
// beginning, and its length in any case.
func (d *Descent[T]) Join(name string) (path string, length int) {
	if length = len(d.path) + len("/") + len(name); length < diff.MaxPath || len(d.path) == 0 {
		path = d.Full(name)
		return path, len(path)
	}
	return cut(d.path), length
}

// Full is join of however long a path.
func (d *Descent[T]) Full(name string) string {
	if len(d.path) == 0 {
		return name
	}
	return string(d.path) + "/" + name
}

// PathOf is join for a directory on the way itself.
func (d *Descent[T]) PathOf(i int) (path string, length int) {
	end := d.Levels[i].end
	if i == 0 {
		return ".", 1
	}
	if end < diff.MaxPath {
		return string(d.path[:end]), end
	}
	return cut(d.path[:end]), end
}

// cut is what a path begins with that is not told whole: some names.
func cut(path []byte) string {
	path = path[:min(len(path), diff.MaxPath-maxName)]
	if end := bytes.LastIndexByte(path, '/'); end >= 0 {
		path = path[:end]
	}
	return string(path) + "/..."
}

// maxName bounds a name, as the kernel does (NAME_MAX), with what ends it.
const maxName = 256
