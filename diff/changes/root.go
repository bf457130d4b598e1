package changes

import (
	"slices"

	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// root begins a walk.
func (w *walk) root() error {
	p := place{}
	err := w.heights(&p)
	w.at.Push("", p, p.whole, p.lower, p.image)
	if err != nil {
		return err
	}
	if changed, err := w.rootChanged(&p); err != nil || !changed {
		return err
	}
	e := p.whole.Self()
	if e.Stat, err = w.view.StatRoot(p.whole); err != nil {
		return err
	}
	return w.emit(Modified, &e, 0, ".", 1)
}

// rootChanged reports whether the root is not what it was. If layers below have
// changed it, too, it must also be what it was before those: the root of a layer is
// shown as it is, and has nothing from the roots of the layers below.
func (w *walk) rootChanged(p *place) (bool, error) {
	changed, err := w.rootDiffers(p.whole, p.lower)
	if changed || err != nil || w.sealed == 0 {
		return changed, err
	}
	before, err := w.view.Root(w.uppers+w.sealed, 0)
	if err != nil {
		return false, err
	}
	defer before.Close()
	return w.rootDiffers(p.whole, before)
}

// rootDiffers compares owner, mode and attributes of the root. Its time does not
// count: a snapshot's root gets the time of its making.
func (w *walk) rootDiffers(now, before *tree.Dir) (bool, error) {
	if before == nil {
		return false, nil
	}
	a, err := w.view.StatRoot(now)
	if err != nil {
		return false, err
	}
	b, err := w.view.StatRoot(before)
	if err != nil {
		return false, err
	}
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid {
		return true, nil
	}
	return w.rootGained(now, before)
}

// rootGained reports whether the root has an attribute, or a value of one, that it
// had not before. One that it lacks does not count: a layer could not tell it.
func (w *walk) rootGained(now, before *tree.Dir) (bool, error) {
	var attrs [2][]xattr.Attr
	for i, d := range []*tree.Dir{now, before} {
		var err error
		e := d.Self()
		if attrs[i], err = w.view.Xattrs(&e); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(attrs[0], func(x xattr.Attr) bool {
		return !slices.ContainsFunc(attrs[1], func(y xattr.Attr) bool { return xattr.Equal([]xattr.Attr{x}, []xattr.Attr{y}) })
	}), nil
}
