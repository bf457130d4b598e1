package merge

import (
	"fmt"
	"math"

	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// timeOnly reports whether a path is, but for its time, what it was before the
// container's changes. Of a directory only itself counts, not what is in it.
func (m *meeting) timeOnly() (bool, error) {
	before, err := m.Before()
	if err != nil {
		return false, m.compared(err)
	}
	same, err := tree.Alike(m.Seen(), &before)
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
func (g *merging) sameTree(at string, old, image *tree.Seen) (bool, error) {
	t := sameTrees{Descent: tree.NewDescent[struct{}](old.View.OpenName, image.View.OpenName)}
	defer t.Close()
	same, err := t.name(old, image)
	for same && err == nil && len(t.Levels) > 0 {
		if err = g.ctx.Err(); err == nil {
			same, err = t.step(old.View, image.View)
		}
	}
	if err != nil {
		return false, fmt.Errorf("compare %s of two images: %w", text.Beginning(at), err)
	}
	return same, nil
}

// sameTrees compares two trees of which the first is the root of a descent, and the
// second what its second view has.
type sameTrees struct {
	*tree.Descent[struct{}]
}

// step compares what is there under the next name.
func (t sameTrees) step(old, image *tree.View) (bool, error) {
	name, ok, err := t.Next(t.sources)
	if err != nil {
		return false, err
	}
	if !ok {
		return true, t.Pop()
	}
	l := t.Top()
	a, err := tree.Look(old, l.Dirs[0], name)
	if err != nil {
		return false, err
	}
	b, err := tree.Look(image, l.Dirs[1], name)
	if err != nil {
		return false, err
	}
	if !a.OK && !b.OK {
		return true, nil // whiteouts
	}
	return t.name(&a, &b)
}

func (t sameTrees) sources() []int {
	l := t.Top()
	return append(l.Dirs[0].FDs(math.MaxInt), l.Dirs[1].FDs(math.MaxInt)...)
}

// name compares two things that have one name, and goes down into them if they are
// directories.
func (t sameTrees) name(old, image *tree.Seen) (bool, error) {
	if same, err := tree.Alike(old, image); err != nil || !same || !old.IsDir() {
		return same, err
	}
	a, err := old.View.Open(old.Dir, old.Entry)
	if err != nil {
		return false, err
	}
	b, err := image.View.Open(image.Dir, image.Entry)
	if err != nil {
		a.Close()
		return false, err
	}
	if a.SameFolders(b) {
		a.Close()
		b.Close()
		return true, nil
	}
	t.Push(old.Name, struct{}{}, a, b)
	return true, nil
}
