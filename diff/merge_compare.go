package diff

import (
	"fmt"
	"math"
)

// timeOnly reports whether a path is, but for its time, what it was before the
// container's changes. Of a directory only itself counts, not what is in it.
func (m *meeting) timeOnly() (bool, error) {
	before, err := m.before()
	if err != nil {
		return false, m.compared(err)
	}
	same, err := alike(m.seen(), &before)
	return same, m.compared(err)
}

// compared says for which path a comparison failed.
func (m *meeting) compared(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("compare %s: %w", m.Path, err)
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
	if a.sameFolders(b) {
		a.close()
		b.close()
		return true, nil
	}
	t.push(old.name, struct{}{}, a, b)
	return true, nil
}
