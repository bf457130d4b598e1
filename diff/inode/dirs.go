package inode

import (
	"strings"
)

// Dirs keeps the directories that a walk is in, which tells a directory before
// what is in it, and all that before the next one.
type Dirs struct {
	way []dirRef // below the root
}

type dirRef struct {
	name string
	ref  Ref
}

// Split returns the directory of a path, kept in names, and the name in there. Paths
// come in the order of a walk.
func (d *Dirs) Split(names *Names, path string) (dir Ref, name string, err error) {
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
