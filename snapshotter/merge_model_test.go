package snapshotter_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/merge"
)

// node is a file of a tree in memory; nil is one that is not there. Nodes are
// never changed once they are made.
type node struct {
	tree      int // that it was read from
	stat      unix.Stat_t
	attribute string
	data      string // content or target
	below     map[string]*node
}

func (n *node) isDir() bool { return n != nil && n.stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// child is what a name leads to; nothing if n is no directory.
func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	return n.below[name]
}

// names are those that any of the nodes has, in order.
func names(nodes ...*node) []string {
	all := map[string]bool{}
	for _, n := range nodes {
		if n != nil {
			for name := range n.below {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// alike compares two files but for time and contents of directories.
func (n *node) alike(o *node) bool {
	return n != nil && o != nil && n.stat.Mode == o.stat.Mode && n.stat.Uid == o.stat.Uid && n.stat.Gid == o.stat.Gid &&
		n.attribute == o.attribute && n.data == o.data
}

// alikeTree compares two files and all below them.
func (n *node) alikeTree(o *node) bool {
	if !n.alike(o) {
		return false
	}
	for _, name := range names(n, o) {
		if !n.child(name).alikeTree(o.child(name)) {
			return false
		}
	}
	return true
}

// with is a directory with other things in it.
func (n *node) with(below map[string]*node) *node {
	c := *n
	c.below = below
	return &c
}

// list tells a tree line by line, but for the root's time.
func (n *node) list() string {
	var b strings.Builder
	first := map[[2]uint64]string{}
	n.listTo(&b, ".", first)
	return b.String()
}

func (n *node) listTo(b *strings.Builder, at string, first map[[2]uint64]string) {
	st := &n.stat
	fmt.Fprintf(b, "%-8s %6o %d:%d %q%s", at, st.Mode, st.Uid, st.Gid, n.data, n.attribute)
	if at != "." {
		fmt.Fprintf(b, " %d", st.Mtim.Sec)
	}
	if id := [2]uint64{uint64(n.tree), st.Ino}; !n.isDir() {
		if name, ok := first[id]; ok {
			b.WriteString(" is " + name)
		} else {
			first[id] = at
		}
	}
	b.WriteByte('\n')
	for _, name := range names(n) {
		n.below[name].listTo(b, path.Join(at, name), first)
	}
}

// mergeModel merges by what the comment of merge.Changes says, on whole trees.
type mergeModel struct {
	decide    func(string) merge.Policy
	changed   map[string]bool // what a walk of the container tells
	keep      string          // a path to keep; empty for none
	conflicts []string
}

// wins reports whether the container wins a conflict.
func (m *mergeModel) wins(p string) bool {
	winner := m.decide(p)
	m.conflicts = append(m.conflicts, p+" "+winner.String())
	return winner == merge.Keep
}

// untouched reports whether the container changed nothing at a path and below.
func (m *mergeModel) untouched(p string) bool {
	for c := range m.changed {
		if p == "." || c == p || strings.HasPrefix(c, p+"/") {
			return false
		}
	}
	return true
}

// merge returns what is at a path of the merged tree, and whether a change of
// the container is in it. o, c and n are what the old image, the container and
// the new image have there.
func (m *mergeModel) merge(p string, o, c, n *node) (_ *node, ours bool) {
	switch {
	case p == m.keep:
		return c, true
	case m.untouched(p):
		return n, false
	case c.isDir() && n.isDir():
		return m.directories(p, o, c, n)
	case c.isDir() && o.isDir():
		if !m.remains(p, o, c) {
			return n, false
		}
		return m.allOrNothing(p, c, n)
	case c.isDir() && (o != nil || n != nil) && !o.alike(n):
		return m.allOrNothing(p, c, n)
	case c == nil && n == nil, c != nil && !c.isDir() && !o.alikeTree(n) && (c.alike(n) || c.alike(o)):
		return n, false
	case o == nil && n == nil, o.alikeTree(n), m.wins(p):
		return c, true
	}
	return n, false
}

// allOrNothing merges a directory in whose place the new image has something else.
func (m *mergeModel) allOrNothing(p string, c, n *node) (*node, bool) {
	switch {
	case m.wins(p):
		return c, true
	case strings.HasPrefix(m.keep, p+"/"):
		return m.onlyKept(p, c), true
	}
	return n, false
}

// onlyKept is a directory with nothing in it but the path to keep.
func (m *mergeModel) onlyKept(p string, c *node) *node {
	if p == m.keep {
		return c
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(m.keep, p+"/"), "/")
	return c.with(map[string]*node{name: m.onlyKept(path.Join(p, name), c.child(name))})
}

// directories merges one that the container and the new image have.
func (m *mergeModel) directories(p string, o, c, n *node) (*node, bool) {
	result, ours := n, false
	if !c.alike(n) && !c.alike(o) && (o.alike(n) || m.wins(p)) {
		result, ours = c, true
	}
	if o.isDir() && o.stat.Mtim.Sec == n.stat.Mtim.Sec && c.stat.Mtim != o.stat.Mtim && c.stat.Mtim.Sec != n.stat.Mtim.Sec {
		ours = true
	}
	below := map[string]*node{}
	for _, name := range names(o, c, n) {
		child, its := m.merge(path.Join(p, name), o.child(name), c.child(name), n.child(name))
		if ours = ours || its; child != nil {
			below[name] = child
		}
	}
	result = result.with(below)
	if ours {
		result.stat.Mtim = c.stat.Mtim
	} else {
		result.stat.Mtim = n.stat.Mtim
	}
	return result, ours
}

// remains reports whether the container changed more in a tree than times, and what it
// deleted.
func (m *mergeModel) remains(p string, o, c *node) bool {
	if m.untouched(p) {
		return false
	}
	return p == m.keep || !c.alike(o) || slices.ContainsFunc(names(c), func(name string) bool {
		return m.remains(path.Join(p, name), o.child(name), c.child(name))
	})
}
