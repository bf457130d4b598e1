package merge

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// move is a directory of the old image that is a link to another one in the new image.
type move struct {
	from, to string
	reported bool
}

// leadsTo reports whether the new image has a link to a directory in place of one, and
// notes where it leads.
func (g *merging) leadsTo(m *meeting) (bool, error) {
	if !m.image.OK || m.image.Kind() != unix.S_IFLNK || g.over != nil {
		return false, nil
	}
	to, ok, err := g.image.Resolve(0, m.Path)
	if err != nil || !ok || g.keeps(to) || within(to, g.hides) && !within(m.Path, g.stubs.at) {
		return false, err
	}
	dir, err := g.image.Descend(0, 0, "/"+to)
	if err != nil || dir == nil {
		return false, err
	}
	dir.Close()
	if free, err := m.passable(to); err != nil || !free {
		return false, err
	}
	g.moved = append(g.moved, move{from: m.Path, to: to})
	return true, nil
}

// hide finds where mounts hide what the new image has.
func (g *merging) hide() error {
	g.hides = map[string]bool{}
	for _, mount := range g.merge.Mounts {
		at, ok, err := g.image.Resolve(0, mount)
		if err != nil {
			return err
		}
		if ok {
			g.hides[at] = true
		}
	}
	return nil
}

// within reports whether a path is one of several, or below one.
func within(at string, of map[string]bool) bool {
	for ; at != "."; at = path.Dir(at) {
		if of[at] {
			return true
		}
	}
	return of["."]
}

// keeps reports whether a path stays whole, as it is or in a directory.
func (g *merging) keeps(at string) bool {
	return slices.ContainsFunc(g.merge.Keep, func(kept string) bool {
		return at == kept || strings.HasPrefix(at, kept+"/")
	})
}

// passable reports whether the container has not deleted or replaced a directory on the
// way to another one, or that itself.
func (m *meeting) passable(to string) (bool, error) {
	view := m.Seen().View
	at, err := view.Root(0, 0)
	if err != nil {
		return false, err
	}
	defer func() { at.Close() }()
	for _, name := range elements(to) {
		e, ok, err := view.Lookup(at, name)
		if err != nil || !ok || !e.IsDir() {
			// What is the old image's follows the new one.
			return err == nil && (e.Name == "" || view.InBase(e.Layer)), err
		}
		next, err := view.Open(at, e)
		if err != nil {
			return false, err
		}
		at.Close()
		at = next
	}
	return true, nil
}

// elements are the names in a path of a merge.
func elements(at string) []string {
	if at == "." {
		return nil
	}
	return strings.Split(at, "/")
}

// follow merges what the container changed in directories that became links with what the
// new image has where they lead.
func (g *merging) follow() error {
	if len(g.moved) == 0 {
		return nil
	}
	f := &following{merging: g}
	first := g.way
	defer func() {
		if g.over != nil {
			g.way.Close()
		}
		g.way, g.over = first, nil
	}()
	_, err := g.merge.Container.Walk(g.ctx, f.change)
	return err
}

// following is the walk for directories that became links.
type following struct {
	*merging
	at *move // in which it is
}

// change merges a change in one of the directories.
func (f *following) change(c *changes.Change) error {
	for i := range f.moved {
		if c.Path == f.moved[i].from && c.IsDir() {
			f.at = &f.moved[i]
			return f.enter(c)
		}
	}
	if f.at == nil || !strings.HasPrefix(c.Path, f.at.from+"/") {
		return nil
	}
	to := path.Join(f.at.to, strings.TrimPrefix(c.Path, f.at.from+"/"))
	deeper := len(elements(f.at.to)) - len(elements(f.at.from))
	return f.landed(c.Moved(to, c.Length+len(to)-len(c.Path), deeper))
}

// enter goes to where the link of a directory leads.
func (f *following) enter(c *changes.Change) error {
	if f.over == nil {
		f.over = c.Seen().View
		f.way = tree.NewDescent[*mergeDir](f.image.OpenName, f.over.OpenName)
	}
	if err := f.leaveTo(0); err != nil {
		return err
	}
	root, err := f.image.Root(0, 0)
	if err != nil {
		return err
	}
	own, err := f.over.Root(0, 0)
	if err != nil {
		root.Close()
		return err
	}
	f.push(&mergeDir{image: root, own: own}, "")
	at := ""
	for _, name := range elements(f.at.to) {
		at = path.Join(at, name)
		in := f.way.Top().Of
		image, err := tree.Look(f.image, in.image, name)
		if err != nil {
			return err
		}
		d := &mergeDir{above: in}
		if d.image, err = f.image.Open(in.image, image.Entry); err != nil {
			return err
		}
		if d.own, err = f.openOver(in, name); err != nil {
			d.image.Close()
			return err
		}
		f.push(d, name)
		d.change = c.Moved(at, len(at), 0)
		d.change.Kind = changes.Modified
		d.change.ReadFrom(&image, f.way, len(f.way.Levels)-2)
	}
	return nil
}

// openOver opens what the container has under a name where a link leads; nil if that is no
// directory, and in the first walk.
func (g *merging) openOver(in *mergeDir, name string) (*tree.Dir, error) {
	if g.over == nil {
		return nil, nil
	}
	e, ok, err := g.over.Lookup(in.own, name)
	if err != nil || !ok || !e.IsDir() {
		return nil, err
	}
	return g.over.Open(in.own, e)
}

// landed merges a change where it has got to.
func (f *following) landed(c *changes.Change) (err error) {
	if err := f.leaveTo(c.Depth()); err != nil {
		return err
	}
	m := &meeting{Change: c, in: f.way.Top().Of}
	if m.stub, err = f.stubMoved(c); err != nil || m.stub && !c.IsDir() {
		return err
	}
	if m.in.fate != nil {
		return f.below(m, false)
	}
	if m.old, err = c.InImage(); err != nil {
		return err
	}
	if m.image, err = tree.Look(f.image, m.in.image, c.Name()); err != nil {
		return err
	}
	if taken, err := f.isTaken(m); err != nil || taken || f.isHidden(c) {
		if err == nil {
			err = f.drops(m)
		}
		return err
	}
	if !f.at.reported && !m.stub && f.merge.ReportFollowed != nil {
		f.at.reported = true
		f.merge.ReportFollowed(f.at.from, f.at.to)
	}
	return f.path(m)
}

// stubMoved reports whether the runtime made what is told at another path now.
func (f *following) stubMoved(c *changes.Change) (bool, error) {
	was := *c
	was.Path = f.cameFrom(c)
	return f.stubs.made(&was)
}

// cameFrom is the path that a change had where the container made it.
func (f *following) cameFrom(c *changes.Change) string {
	return f.at.from + strings.TrimPrefix("/"+c.Path, strings.TrimSuffix("/"+f.at.to, "/."))
}

// isHidden reports whether a change has got to where a mount hides it, which did not hide
// it before.
func (f *following) isHidden(c *changes.Change) bool {
	at, was := c.Path, f.cameFrom(c)
	if c.IsDir() {
		at, was = path.Dir(at), path.Dir(was)
	}
	return within(at, f.hides) && !within(was, f.stubs.at)
}

// isTaken reports whether something else has been told at the path to which a change has
// got, or will be told below it: the container's own there, what stays whole, and what
// another directory brings that leads to the same place. Directories share a path.
func (f *following) isTaken(m *meeting) (bool, error) {
	if f.keeps(m.Path) {
		return true, nil
	}
	if taken, err := f.takenBy(m, m.in.own, m.Name()); err != nil || taken {
		return taken, err
	}
	for i := range f.moved {
		mv := &f.moved[i]
		if !m.IsDir() && (mv.to == m.Path || strings.HasPrefix(mv.to, m.Path+"/")) {
			return true, nil
		}
	}
	for i := range f.moved {
		mv := &f.moved[i]
		if mv == f.at {
			break
		}
		rest, below := strings.CutPrefix("/"+m.Path, strings.TrimSuffix("/"+mv.to, "/."))
		if !below || !strings.HasPrefix(rest, "/") {
			continue
		}
		at := "/" + mv.from + rest
		dir, err := f.over.Descend(0, 0, path.Dir(at))
		if err != nil || dir == nil {
			if err != nil {
				return false, err
			}
			continue
		}
		taken, err := f.takenBy(m, dir, path.Base(at))
		dir.Close()
		if err != nil || taken {
			return taken, err
		}
	}
	return false, nil
}

// takenBy reports whether what the container has under a name in a directory has been told
// where a change has got to.
func (f *following) takenBy(m *meeting, dir *tree.Dir, name string) (bool, error) {
	e, ok, err := f.over.Lookup(dir, name)
	told := e.Name != "" && (!f.over.InBase(e.Layer) || !m.image.OK)
	both := ok && e.IsDir() && m.IsDir()
	return told && !both, err
}

// drops drops what the container changed under several paths that lead to one: what was
// told first stays.
func (f *following) drops(m *meeting) error {
	to := &fate{conflict: Conflict{Path: f.at.from, Image: Replaced}, decided: true, winner: Image}
	if m.IsDir() {
		f.push(&mergeDir{above: m.in, fate: to}, m.Name())
	}
	if m.Kind == changes.Deleted {
		return nil
	}
	return f.drop(m, to)
}
