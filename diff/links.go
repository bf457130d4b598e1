package diff

import (
	"slices"
	"strings"
)

// dirNode is a directory of a tree that is remembered: for the names in it, and
// below it, it is there once.
type dirNode struct {
	above *dirNode // nil for the root
	name  string
}

// join is the path of a name in the directory, from the root.
func (n *dirNode) join(name string) string { return strings.Join(append(n.names(), name), "/") }

// names are those of the directories from the root to this one.
func (n *dirNode) names() []string {
	var names []string
	for ; n.above != nil; n = n.above {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	return names
}

// dirNodes remembers the directories that a walk is in, which tells a directory
// before what is in it, and all that before the next one.
type dirNodes struct {
	way []*dirNode // from the root on
}

// split returns the directory of a path, and the name in there. Paths come in the
// order of a walk.
func (d *dirNodes) split(path string) (*dirNode, string) {
	if len(d.way) == 0 {
		d.way = []*dirNode{{}}
	}
	for depth := 0; ; {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return d.way[depth], strings.Clone(name)
		}
		path = rest
		if depth++; depth >= len(d.way) || d.way[depth].name != name {
			d.way = append(d.way[:depth], &dirNode{d.way[depth-1], strings.Clone(name)})
		}
	}
}
