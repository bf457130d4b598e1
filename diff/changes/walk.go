package changes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// walk is one reading of a container.
type walk struct {
	ctx       context.Context
	visit     func(*Change) error
	view      *tree.View
	old       *tree.View // what the changes are told against; view itself without earlier ones
	at        *tree.Descent[place]
	earlier   int  // layers of old that hold earlier changes
	anyName   bool // names and paths that layers cannot hold are told
	shown     bool // what goes meanwhile is left out
	wholeRoot bool // attributes that the root has lost count
	uppers    int  // layers that hold changes
	sealed    int  // layers below those, whose changes are told elsewhere
	init      int  // the init layer; 0 if there is none
	also      also
	isCopy    func(dirfd int, name string, now, before *unix.Stat_t) bool
	stats     WalkStats
}

// place is a directory as it is seen from three heights.
type place struct {
	whole *tree.Dir // by the container
	lower *tree.Dir // before the changes: init layer and image; nil if not there
	image *tree.Dir // by the image; nil if not there
	// moved says that what was here does not show through: the directory was
	// replaced, or renamed, or is in one that was.
	moved bool
	// self is the directory until it has been told, which it is before the first
	// thing in it, and kind what happened to it.
	self *tree.Entry
	kind Kind
}

// full reports whether every name in a place counts, not only those in the
// uppers.
func (p *place) full() bool { return p.moved || p.image == nil }

// before is what the files in a place are compared with.
func (p *place) before() *tree.Dir {
	if p.moved {
		return p.image
	}
	return p.lower
}

func (p *place) close() {
	p.whole.Close()
	p.lower.Close()
	p.image.Close()
}

// heights opens the root as it is seen from each.
func (w *walk) heights(p *place) (err error) {
	if p.whole, err = w.view.Root(0, 0); err != nil {
		return err
	}
	if w.earlier > 0 {
		p.lower, err = w.old.Root(0, 0)
		p.image = p.lower
		return err
	}
	if p.lower, err = w.view.Root(w.uppers, 0); err != nil {
		return err
	}
	p.image, err = w.view.Root(w.uppers, w.init)
	return err
}

// run walks all.
func (w *walk) run() error {
	if err := w.root(); err != nil {
		return err
	}
	for {
		name, ok, err := w.at.NextOf(w.sources, w.alsoNames)
		switch {
		case err != nil:
			path, _ := w.at.PathOf(len(w.at.Levels) - 1)
			err = tree.Raced(&fs.PathError{Op: "read", Path: path, Err: err})
		case ok:
			if err = w.ctx.Err(); err == nil {
				err = tree.Raced(w.name(name))
			}
		case len(w.at.Levels) == 1:
			return nil
		default:
			err = w.leave()
		}
		if err != nil && (!w.shown || !errors.Is(err, diff.ErrChanged)) {
			return err
		}
	}
}

// leave goes back to the directory above, or if that has gone, and only what can
// be shown counts, to the next one that has not.
func (w *walk) leave() error {
	for {
		err := tree.Raced(w.at.Pop())
		if err == nil || !w.shown || !errors.Is(err, diff.ErrChanged) {
			return err
		}
	}
}

// sources are the directories whose names can be changes.
func (w *walk) sources() []int {
	p := &w.at.Top().Of
	if !p.full() {
		fds := p.whole.FDs(w.uppers)
		if w.earlier > 0 {
			fds = append(fds, p.lower.FDs(w.earlier)...)
		}
		return fds
	}
	fds := p.whole.FDs(len(w.view.Roots))
	if p.image != nil {
		fds = append(fds, p.image.FDs(len(w.old.Roots))...)
	}
	return fds
}

// name reports what changed under one name of the directory that the walk is in.
func (w *walk) name(name string) error {
	p := &w.at.Top().Of
	e, ok, err := w.view.Lookup(p.whole, name)
	if err != nil {
		return w.failed("look at", name, err)
	}
	asked, err := w.asked(name, &e, ok)
	switch {
	case err != nil:
		return err
	case !ok, e.Stat.Mode&unix.S_IFMT == unix.S_IFSOCK:
		return w.deleted(p, name, e.Name != "")
	case e.IsDir():
		return w.directory(p, &e, asked)
	case w.hidden(e.Layer):
		return nil
	}
	return w.file(p, &e, asked)
}

// failed says of which name in the directory that the walk is in an error is.
func (w *walk) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	path, _ := w.at.Join(name)
	return fmt.Errorf("%s %s: %w", op, text.Beginning(path), err)
}

// hidden reports whether a layer is the init layer.
func (w *walk) hidden(layer int) bool { return w.init > 0 && layer == w.init }

// deleted reports that nothing is under a name, if the image has something
// there. A socket counts as nothing: a layer cannot hold it. If the image has
// nothing there either, then a whiteout or a socket has been met, above or in the
// image, or what had the name has gone since the directory was read.
func (w *walk) deleted(p *place, name string, met bool) error {
	old, ok, err := w.old.Lookup(p.image, name)
	switch {
	case err != nil:
		return w.failed("look at", name, err)
	case !ok && !met && old.Name == "":
		return w.failed("look at", name, diff.ErrChanged)
	case !ok:
		return nil
	}
	if err := w.reserved(name); err != nil {
		return err
	}
	return w.tell(Deleted, &tree.Entry{Name: name})
}

// file reports anything but a directory, unless it is what it was and was not asked for.
func (w *walk) file(p *place, e *tree.Entry, asked bool) error {
	old, ok, err := w.old.Lookup(p.before(), e.Name)
	if err != nil {
		return w.failed("look at", e.Name, err)
	}
	kind := Added
	if ok {
		kind = Modified
		if w.earlier > 0 && e.Layer < w.uppers && e.Stat.Mode&unix.S_IFMT == unix.S_IFREG {
			if w.isCopy != nil && w.isCopy(e.DirFD(), e.Name, &e.Stat, &old.Stat) {
				return nil
			}
			return w.tell(kind, e)
		}
		// A file of several names must stay one: it is told with the others.
		// And a copy of one of several names is a file of its own now.
		if !asked && (e.Layer >= w.uppers || e.Stat.Nlink == 1 && old.Stat.Nlink == 1) {
			same, err := w.same(p.whole, e, p.before(), &old)
			if err != nil || same {
				return err
			}
		}
	}
	return w.tell(kind, e)
}

// same reports whether a name is what it was. What is only shown is another if a
// layer cannot hold it: the image had something that one did.
func (w *walk) same(d *tree.Dir, e *tree.Entry, before *tree.Dir, old *tree.Entry) (bool, error) {
	same, err := w.view.Same(d, e, w.old, before, old)
	if w.shown && errors.Is(err, xattr.ErrTooLarge) {
		return false, nil
	}
	return same, w.failed("compare", e.Name, err)
}

// directory reports a directory if it is new or changed or was asked for, and goes down
// into it.
func (w *walk) directory(p *place, e *tree.Entry, asked bool) (err error) {
	if _, length := w.at.Join(e.Name); length >= diff.MaxPath && w.shown {
		return w.tell(Added, e) // and all that is in it
	}
	sub := place{}
	defer func() {
		if err != nil {
			sub.close()
		}
	}()
	if sub.whole, err = w.view.Open(p.whole, *e); err != nil {
		return w.failed("open", e.Name, err)
	}
	lowest := sub.whole.Lowest()
	if lowest < 0 {
		return w.failed("open", e.Name, diff.ErrChanged)
	}
	if w.hidden(e.Layer) && w.hidden(lowest) {
		sub.close() // of the init layer alone
		return nil
	}
	old, err := w.openOld(p, &sub, e.Name)
	if err != nil {
		return w.failed("open", e.Name, err)
	}
	sub.moved = p.moved || !sub.whole.Plain
	if w.earlier > 0 { // what shows through of the same folders is the same
		sub.moved = !sub.whole.SameBelow(w.uppers, sub.lower, w.earlier)
	}
	sub.self, sub.kind = e, Added
	same := false
	if old != nil {
		sub.kind = Modified
		if old.IsDir() {
			if same, err = w.same(nil, e, nil, old); err != nil {
				return err
			}
		}
	}
	w.push(e.Name, sub)
	sub = place{} // the way closes it
	if !same || asked {
		return w.report()
	}
	return nil
}

// openOld opens what was at a directory's place before, and returns the entry
// to compare with; nil if nothing was there.
func (w *walk) openOld(p, sub *place, name string) (*tree.Entry, error) {
	var old *tree.Entry
	for _, height := range []struct {
		from *tree.Dir
		to   **tree.Dir
	}{{p.lower, &sub.lower}, {p.image, &sub.image}} {
		e, ok, err := w.old.Lookup(height.from, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if old == nil || p.moved {
			old = &e
		}
		if !e.IsDir() {
			continue
		}
		if *height.to, err = w.old.Open(height.from, e); err != nil {
			return nil, err
		}
		if w.earlier > 0 { // there is no init layer between these two
			sub.image = sub.lower
			break
		}
	}
	return old, nil
}

// push goes down into a directory, which the way closes.
func (w *walk) push(name string, p place) {
	if w.earlier > 0 {
		w.at.Push(name, p, p.whole, p.lower)
		return
	}
	w.at.Push(name, p, p.whole, p.lower, p.image)
}
