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
	w.push("", p)
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
	changed, err := w.rootDiffers(p.whole, w.old, p.lower)
	if changed || err != nil || w.sealed == 0 {
		return changed, err
	}
	before, err := w.view.Root(w.uppers+w.sealed, 0)
	if err != nil {
		return false, err
	}
	defer before.Close()
	return w.rootDiffers(p.whole, w.view, before)
}

// rootDiffers compares owner, mode and attributes of the root. Its time does not
// count: a snapshot's root gets the time of its making.
func (w *walk) rootDiffers(now *tree.Dir, old *tree.View, before *tree.Dir) (bool, error) {
	if before == nil {
		return false, nil
	}
	a, err := w.view.StatRoot(now)
	if err != nil {
		return false, err
	}
	b, err := old.StatRoot(before)
	if err != nil {
		return false, err
	}
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid {
		return true, nil
	}
	return w.rootGained(now, old, before)
}

// rootGained reports whether the root has an attribute, or a value of one, that it
// had not before. One that it lacks does not count, since a layer could not tell it,
// unless the container is WholeRoot.
func (w *walk) rootGained(now *tree.Dir, old *tree.View, before *tree.Dir) (bool, error) {
	is, was := now.Self(), before.Self()
	var attrs [2][]xattr.Attr
	var err error
	if attrs[0], err = w.view.Xattrs(&is); err != nil {
		return false, err
	}
	if attrs[1], err = old.Xattrs(&was); err != nil {
		return false, err
	}
	if w.wholeRoot {
		return !xattr.Equal(attrs[0], attrs[1]), nil
	}
	return slices.ContainsFunc(attrs[0], func(x xattr.Attr) bool {
		return !slices.ContainsFunc(attrs[1], func(y xattr.Attr) bool { return xattr.Equal([]xattr.Attr{x}, []xattr.Attr{y}) })
	}), nil
}
