package diff

import (
	"strings"

	"github.com/baleen-project/baleen/diff/inode"
)

// dirRefs keeps the directories that a walk is in, which tells a directory before
// what is in it, and all that before the next one.
type dirRefs struct {
	way []dirRef // below the root
}

type dirRef struct {
	name string
	ref  inode.Ref
}

// split returns the directory of a path, kept in names, and the name in there. Paths
// come in the order of a walk.
func (d *dirRefs) split(names *inode.Names, path string) (dir inode.Ref, name string, err error) {
	for depth := 0; ; depth++ {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return dir, name, nil
		}
		path = rest
		if depth >= len(d.way) || d.way[depth].name != name {
			above := dir
			if dir, err = names.Dir(above, name); err != nil {
				return 0, "", err
			}
			d.way = append(d.way[:depth], dirRef{strings.Clone(name), dir})
		}
		dir = d.way[depth].ref
	}
}
