package diff

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// seen is what shows under a name in one of the trees of a merge.
type seen struct {
	view *view
	dir  *dir
	entry
	ok bool // whether there is anything
}

func look(v *view, d *dir, name string) (seen, error) {
	e, ok, err := v.lookup(d, name)
	return seen{view: v, dir: d, entry: e, ok: ok}, err
}

func (s *seen) isDir() bool { return s.ok && s.entry.isDir() }

func (s *seen) kind() uint32 { return s.stat.Mode & unix.S_IFMT }

// seen is what the container has.
func (c *Change) seen() *seen {
	return &seen{view: c.view, dir: c.dir, entry: *c.entry, ok: c.Kind != Deleted}
}

// before is what the container had before its changes.
func (c *Change) before() (seen, error) {
	if err := c.reach(); err != nil {
		return seen{}, err
	}
	return look(c.view, c.at.before(), c.entry.name)
}

// timeOnly reports whether a path is, but for its time, what it was before the
// container's changes. Of a directory only itself counts, not what is in it.
func (c *Change) timeOnly() (bool, error) {
	before, err := c.before()
	if err != nil {
		return false, c.compared(err)
	}
	same, err := alike(c.seen(), &before)
	return same, c.compared(err)
}

// compared says for which path a comparison failed.
func (c *Change) compared(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("compare %s: %w", c.Path, err)
}

func (c *Change) isRegular() bool { return c.Kind != Deleted && c.Type() == unix.S_IFREG }

// alike reports whether two files are the same but for their times. Layers that
// were unpacked separately can have other times, and a new image mostly has.
func alike(a, b *seen) (bool, error) {
	if !a.ok || !b.ok {
		return false, nil
	}
	if a.stat.Dev == b.stat.Dev && a.stat.Ino == b.stat.Ino {
		return true, nil
	}
	timeless := a.entry
	timeless.stat.Mtim = b.stat.Mtim
	return a.view.same(a.dir, &timeless, b.view, b.dir, &b.entry)
}

// sameTree reports whether the images have the same at a path and, if it is a
// directory, below it.
func (g *merging) sameTree(at string, old, image *seen) (bool, error) {
	t := sameTrees{descent: newDescent[struct{}](old.view.openName, image.view.openName)}
	defer t.close()
	same, err := t.name(old, image)
	for same && err == nil && len(t.levels) > 0 {
		if err = g.ctx.Err(); err == nil {
			same, err = t.step(old.view, image.view)
		}
	}
	if err != nil {
		return false, fmt.Errorf("compare %s of two images: %w", beginning(at), err)
	}
	return same, nil
}

// sameTrees compares two trees of which the first is the root of a descent, and the
// second what its second view has.
type sameTrees struct {
	*descent[struct{}]
}

// step compares what is there under the next name.
func (t sameTrees) step(old, image *view) (bool, error) {
	name, ok, err := t.next(t.sources)
	if err != nil {
		return false, err
	}
	if !ok {
		return true, t.pop()
	}
	l := t.top()
	a, err := look(old, l.dirs[0], name)
	if err != nil {
		return false, err
	}
	b, err := look(image, l.dirs[1], name)
	if err != nil {
		return false, err
	}
	if !a.ok && !b.ok {
		return true, nil // whiteouts
	}
	return t.name(&a, &b)
}

func (t sameTrees) sources() []int {
	l := t.top()
	return append(l.dirs[0].fds(math.MaxInt), l.dirs[1].fds(math.MaxInt)...)
}

// name compares two things that have one name, and goes down into them if they are
// directories.
func (t sameTrees) name(old, image *seen) (bool, error) {
	if same, err := alike(old, image); err != nil || !same || !old.isDir() {
		return same, err
	}
	a, err := old.view.open(old.dir, old.entry)
	if err != nil {
		return false, err
	}
	b, err := image.view.open(image.dir, image.entry)
	if err != nil {
		a.close()
		return false, err
	}
	if oneFolder(a, b) {
		a.close()
		b.close()
		return true, nil
	}
	t.push(old.name, struct{}{}, a, b)
	return true, nil
}

// oneFolder reports whether two directories are made of the same folders. As a
// layer always lies on the same ones, nothing below can differ then.
func oneFolder(a, b *dir) bool {
	return slices.EqualFunc(a.parts, b.parts, func(x, y *part) bool { return x.id == y.id })
}
