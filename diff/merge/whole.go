package merge

import (
	"fmt"
	"math"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// settle decides what becomes of a directory, once. If the container wins, all of it is
// told at that.
func (g *merging) settle(f *fate) error {
	if f.decided {
		return nil
	}
	f.decided = true
	if f.winner = g.decide(f.conflict); f.winner != Keep {
		return nil
	}
	g.stats.Image, g.stats.Kept = g.stats.Image-f.idle, g.stats.Kept+f.idle
	c := f.dir.change
	f.dir.change = nil
	return g.whole(c, f.dir.above, &f.image)
}

// keepWhole merges a path of Keep.
func (g *merging) keepWhole(m *meeting) error {
	if m.IsDir() {
		g.push(&mergeDir{above: m.in, fate: &fate{decided: true, winner: Keep}}, m.Name())
	}
	return g.whole(m.onImage(), m.in, &m.image)
}

// keptAll checks that all paths of Keep have been met.
func (g *merging) keptAll() error {
	for _, path := range g.merge.Keep {
		if !g.kept[path] {
			return fmt.Errorf("keep /%s: it is no file or directory of the container's: %w", text.Beginning(path), errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// whole tells all that the container has at a path, against what the new image has there.
func (g *merging) whole(c *changes.Change, in *mergeDir, image *tree.Seen) error {
	w := &wholeTree{merging: g, top: c, Whole: Whole{Path: c.Path}, init: -1}
	if own := g.merge.Container; own.Init {
		w.init = len(own.Uppers) + own.Sealed
	}
	if err := g.reach(in); err != nil {
		return err
	}
	err := g.tell(c)
	if err == nil && c.IsDir() {
		err = w.walk(image)
	} else if err == nil {
		w.count(c.Seen())
	}
	if err != nil {
		return fmt.Errorf("keep %s whole: %w", c.Shown(), err)
	}
	if g.merge.ReportWhole != nil {
		g.merge.ReportWhole(w.Whole)
	}
	return nil
}

// wholeTree tells a directory of the container against one of the new image.
type wholeTree struct {
	*merging
	Whole
	top  *changes.Change
	at   *tree.Descent[struct{}]
	init int // the init layer; negative if there is none
}

// Ensure has a directory open, which is counted from the root of all.
func (w *wholeTree) Ensure(level int) error { return w.at.Ensure(level - w.top.Depth()) }

func (w *wholeTree) walk(image *tree.Seen) error {
	own, err := w.top.OpenTree()
	if err != nil {
		return err
	}
	var other *tree.Dir
	if image.IsDir() {
		if other, err = image.View.Open(image.Dir, image.Entry); err != nil {
			own.Close()
			return err
		}
	}
	w.at = tree.NewDescent[struct{}](w.top.Seen().View.OpenName, w.image.OpenName)
	defer w.at.Close()
	w.at.Push("", struct{}{}, own, other)
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		name, ok, err := w.at.Next(w.sources)
		switch {
		case err != nil:
		case ok:
			err = w.name(name)
		case len(w.at.Levels) == 1:
			return nil
		default:
			err = w.at.Pop()
		}
		if err != nil {
			return tree.Raced(err)
		}
	}
}

func (w *wholeTree) sources() []int {
	l := w.at.Top()
	fds := l.Dirs[0].FDs(math.MaxInt)
	if l.Dirs[1] != nil {
		fds = append(fds, l.Dirs[1].FDs(math.MaxInt)...)
	}
	return fds
}

// name tells what the container has under the next name, unless the new image has it so.
func (w *wholeTree) name(name string) error {
	l := w.at.Top()
	own, err := tree.Look(w.top.Seen().View, l.Dirs[0], name)
	if err != nil {
		return err
	}
	image, err := tree.Look(w.image, l.Dirs[1], name)
	switch {
	case err != nil:
		return err
	case own.OK && own.Layer == w.init && !own.IsDir():
		return nil // the runtime's
	case !own.OK || own.Kind() == unix.S_IFSOCK:
		if image.OK {
			return w.tellAs(changes.Deleted, &tree.Seen{View: own.View, Dir: own.Dir, Entry: tree.Entry{Name: name}})
		}
		return nil
	}
	kind := changes.Added
	if image.OK {
		kind = changes.Modified
	}
	if own.IsDir() {
		return w.directory(kind, &own, &image)
	}
	if w.stubbed(&own) {
		return nil
	}
	w.count(&own)
	if same, err := w.same(&own, &image); err != nil || same {
		return err
	}
	return w.tellAs(kind, &own)
}

// same reports whether a file need not be told. One of several names is, since all of
// them must stay one file.
func (w *wholeTree) same(own, image *tree.Seen) (bool, error) {
	if !image.OK || own.Stat.Nlink > 1 || image.Stat.Nlink > 1 {
		return false, nil
	}
	return own.View.Same(own.Dir, &own.Entry, image.View, image.Dir, &image.Entry)
}

// stubbed reports whether the runtime made a file to mount on.
func (w *wholeTree) stubbed(own *tree.Seen) bool {
	if own.Kind() != unix.S_IFREG || own.Stat.Size > 0 || own.View.InBase(own.Layer) {
		return false
	}
	rest, _ := w.at.Join(own.Name)
	return w.stubs.at[w.top.Path+"/"+rest]
}

func (w *wholeTree) directory(kind changes.Kind, own, image *tree.Seen) error {
	dir, err := own.View.Open(own.Dir, own.Entry)
	if err != nil {
		return err
	}
	if own.Layer == w.init && dir.Lowest() == w.init {
		dir.Close()
		return nil // the runtime's
	}
	if err := w.tellAs(kind, own); err != nil {
		dir.Close()
		return err
	}
	var other *tree.Dir
	if image.IsDir() {
		if other, err = image.View.Open(image.Dir, image.Entry); err != nil {
			dir.Close()
			return err
		}
	}
	w.at.Push(own.Name, struct{}{}, dir, other)
	return nil
}

func (w *wholeTree) count(own *tree.Seen) {
	w.Files++
	if own.View.InBase(own.Layer) {
		w.Untouched++
	}
	if own.Kind() == unix.S_IFREG {
		w.Bytes += own.Stat.Size
	}
}

// tellAs tells a path below the one that stays whole.
func (w *wholeTree) tellAs(kind changes.Kind, s *tree.Seen) error {
	c := *w.top
	rest, length := w.at.Join(s.Name)
	c.Kind, c.Path, c.Length = kind, w.top.Path+"/"+rest, w.top.Length+len("/")+length
	if c.Length >= diff.MaxPath {
		c.Path = text.Beginning(c.Path)
	}
	c.ReadFrom(s, w, w.top.Depth()+len(w.at.Levels)-1)
	return w.tell(&c)
}

// left reports what goes from a directory in which the container changed a file of the
// old image, once.
func (g *merging) left(m *meeting) error {
	if g.merge.ReportLeft == nil || m.in.looked || !m.old.OK || m.Kind == changes.Deleted {
		return nil
	}
	m.in.looked = true
	var l Left
	err := m.Untouched(func(name string) error {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		image, err := tree.Look(g.image, m.in.image, name)
		if err != nil || image.OK {
			return err
		}
		if l.Names++; l.Names == 1 || name < l.First {
			l.First = name
		}
		return nil
	})
	if err != nil {
		return m.compared(err)
	}
	if l.Names > 0 {
		l.Path, _ = g.way.PathOf(len(g.way.Levels) - 1)
		g.merge.ReportLeft(l)
	}
	return nil
}
