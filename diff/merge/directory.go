package merge

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// fate is what becomes of all that the container changed in a directory where
// the new image has something else.
type fate struct {
	conflict Conflict
	dir      *mergeDir
	image    tree.Seen // what the new image has there, no directory
	// decided is false until something is met in the directory for which it
	// must be decided.
	decided bool
	winner  Policy
	idle    int64 // files in it of which only the time changed, so far
	moved   bool  // the image has a link there, which is followed later
}

// root merges the metadata of the root.
func (g *merging) root(c *changes.Change) (err error) {
	f := g.way.Levels[0].Of
	m := &meeting{Change: c, in: f}
	if m.old, err = c.InImage(); err != nil {
		return err
	}
	if m.image, err = tree.Look(g.image, f.image, "."); err != nil {
		return err
	}
	if m.image.OK {
		if ours, err := g.metadata(m); err != nil || !ours {
			return err
		}
	}
	g.stats.Kept++
	return g.tell(m.onImage())
}

// directory merges a directory of the container.
func (g *merging) directory(m *meeting) (err error) {
	f := &mergeDir{above: m.in, change: m.onImage()}
	if m.image.IsDir() {
		if f.image, err = g.image.Open(m.in.image, m.image.Entry); err != nil {
			return m.compared(err)
		}
	}
	if f.own, err = g.openOver(m.in, m.Name()); err != nil {
		f.image.Close()
		return m.compared(err)
	}
	g.push(f, m.Name())
	switch {
	case m.stub:
		g.stub(m, f)
		return nil
	case m.image.IsDir():
		return g.both(m, f)
	case m.old.IsDir():
		return g.orphan(m, f)
	default:
		return g.fresh(m, f)
	}
}

// both merges a directory that the container and the new image have.
func (g *merging) both(m *meeting, f *mergeDir) error {
	ours, err := g.metadata(m)
	if err != nil {
		return err
	}
	if !ours {
		f.change.ReadFrom(&m.image, g.way, len(g.way.Levels)-2)
		f.change.Stat.Mtim = m.Stat.Mtim
		if ours, err = m.ownTime(); err != nil {
			return err
		}
	}
	if !ours {
		return nil
	}
	g.stats.Kept++
	return g.reach(f)
}

// metadata reports whether the container's metadata of a directory stay, and
// differ from the new image's.
func (g *merging) metadata(m *meeting) (bool, error) {
	if same, err := tree.Alike(m.Seen(), &m.image); err != nil || same {
		return false, m.compared(err)
	}
	if idle, err := m.timeOnly(); err != nil || idle {
		return false, err
	}
	if unchanged, err := tree.Alike(&m.old, &m.image); err != nil || unchanged {
		return unchanged, m.compared(err)
	}
	return g.decide(m.conflict()) == Keep, nil
}

// ownTime reports whether only the container changed the time of a directory.
func (m *meeting) ownTime() (bool, error) {
	now, then := m.Stat.Mtim.Sec, m.image.Stat.Mtim.Sec
	if !m.old.IsDir() || m.old.Stat.Mtim.Sec != then || now == then {
		return false, nil
	}
	before, err := m.Before()
	return before.OK && before.Stat.Mtim != m.Stat.Mtim, err
}

// orphan merges a directory of the old image that the new one dropped or
// replaced.
func (g *merging) orphan(m *meeting, f *mergeDir) error {
	f.fate = &fate{conflict: m.conflict(), dir: f, image: m.image}
	f.fate.conflict.Container = Changed
	if followed, err := g.leadsTo(m); err != nil || followed {
		f.fate.moved = followed
		return err
	}
	if idle, err := m.timeOnly(); err != nil || idle {
		return err
	}
	return g.ends(f.fate)
}

// fresh merges a directory that the container made.
func (g *merging) fresh(m *meeting, f *mergeDir) error {
	free := !m.image.OK && !m.old.OK
	if !free {
		var err error
		if free, err = tree.Alike(&m.old, &m.image); err != nil {
			return m.compared(err)
		}
	}
	if free {
		g.stats.Kept++
		return g.reach(f)
	}
	f.fate = &fate{conflict: m.conflict(), dir: f, image: m.image}
	return g.ends(f.fate)
}

// ends settles what becomes of a directory that is a change itself.
func (g *merging) ends(f *fate) error {
	if err := g.settle(f); err != nil {
		return err
	}
	if f.winner == Keep {
		g.stats.Kept++
	}
	return nil
}

// below merges a path below one of which the container and the new image made
// different things, or below one that is kept.
func (g *merging) below(m *meeting, asked bool) error {
	f := m.in.fate
	switch {
	case f.moved && asked:
		return fmt.Errorf("keep /%s: the new image has a link in place of a directory above it: name the path that it leads to: %w", text.Beginning(m.Path), errdefs.ErrInvalidArgument)
	case f.moved && m.IsDir():
		g.push(&mergeDir{above: m.in, fate: f}, m.Name())
		return nil
	case f.moved:
		return nil
	case m.Kind == changes.Deleted:
		g.stats.There++
		return nil
	}
	idle, err := m.timeOnly()
	if err != nil {
		return m.compared(err)
	}
	idle = idle || m.stub
	if asked || !idle {
		if err := g.settle(f); err != nil {
			return err
		}
	}
	if asked && f.winner == Image {
		return g.keepWhole(m)
	}
	if m.IsDir() {
		g.push(&mergeDir{above: m.in, change: m.onImage(), fate: f}, m.Name())
	}
	switch {
	case f.decided && f.winner == Fail, idle && m.IsDir():
		return nil
	case f.decided && f.winner == Keep:
		g.stats.Kept++
	case idle:
		f.idle++
		g.stats.Image++
	default:
		return g.drop(m, f)
	}
	return nil
}
