package diff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Container is a container's file system, to be read for its changes while it
// may be running.
type Container struct {
	Overlay
	// Sealed is how many of the topmost lowers hold what the container changed
	// before, which is told elsewhere: they count as the image's. [Container.Split]
	// sets it.
	Sealed int
	// Init says that the topmost lower below those is not of the image: it holds
	// what the runtime needs, files to mount over. It counts as seen by the
	// container, but nothing of it is a change.
	Init bool
	// Reserved says to tell names as well that the layers of an image cannot
	// hold. Without it they are ErrReserved.
	Reserved bool
	// Shown says that the changes are only shown: what goes or changes its type
	// while it is looked at is left out.
	Shown bool
}

// WalkStats counts what a walk met.
type WalkStats struct {
	Changes int64 // paths reported
	Bytes   int64 // apparent size of the regular files among them
}

// Walk calls visit for every change of a container against its image, in an
// order in which directories come before what is in them, and names in the
// order of their bytes. The cost follows the changes; of the image only what
// stands at the same paths is looked at.
//
// Applied on the image, the changes give what the container sees. A directory
// that holds a change is itself reported, as its time has changed. A file that
// only was copied up, and is what it was, is not.
//
// What goes or changes its type while it is looked at gives ErrChanged: a file
// that goes may have moved to where the walk has been.
func (c *Container) Walk(ctx context.Context, visit func(*Change) error) (stats WalkStats, err error) {
	w, err := c.open(ctx, visit)
	if err != nil {
		return WalkStats{}, err
	}
	defer w.view.close()
	err = raced(w.root())
	return w.stats, err
}

// raced gives errors that a change meanwhile explains the class of ErrChanged.
func raced(err error) error {
	for _, race := range []error{unix.ELOOP, unix.ENOTDIR, unix.ENOENT, unix.ESTALE} {
		if errors.Is(err, race) && !errors.Is(err, ErrChanged) {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
	}
	return err
}

// Untouched reports whether a walk would certainly tell nothing: its uppers are
// empty folders, and its root is what it was. It costs a few calls.
func (c *Container) Untouched(ctx context.Context) (bool, error) {
	w, err := c.open(ctx, nil)
	if err != nil {
		return false, err
	}
	defer w.view.close()
	for _, upper := range w.view.roots[:w.uppers] {
		names, err := newNameReader([]int{upper}, w.buf[:]).next()
		if err != nil || len(names) > 0 {
			return false, err
		}
	}
	p := &place{}
	defer p.close()
	if err := w.heights(p); err != nil {
		return false, err
	}
	changed, err := w.rootChanged(p)
	return !changed, err
}

func (c *Container) open(ctx context.Context, visit func(*Change) error) (*walk, error) {
	w := &walk{ctx: ctx, visit: visit, anyName: c.Reserved, shown: c.Shown, uppers: len(c.Uppers)}
	base := w.uppers + c.Sealed // how many layers lie above the image's
	if c.Init {
		w.init = base
		base++
	}
	if len(c.Lowers) < base-w.uppers {
		return nil, fmt.Errorf("%w: %d folders, and %d of them above the image's", ErrUnsupported, w.uppers+len(c.Lowers), base)
	}
	layers := append(append([]string{}, c.Uppers...), c.Lowers...)
	var err error
	if w.view, err = openView(layers, base, c.UserXattr); err != nil {
		return nil, err
	}
	w.view.mapped, w.view.mapIDs = c.Mapped, c.IDs.Inside
	return w, nil
}

// walk is one reading of a container.
type walk struct {
	ctx     context.Context
	visit   func(*Change) error
	view    *view
	anyName bool // names that layers cannot hold are told
	shown   bool // what goes meanwhile is left out
	uppers  int  // layers that hold changes
	init    int  // the init layer; 0 if there is none
	stats   WalkStats
	buf     [32 << 10]byte // for reading directories
}

// place is a directory as it is seen from three heights.
type place struct {
	path  string
	whole *dir // by the container
	lower *dir // before the changes: init layer and image; nil if not there
	image *dir // by the image; nil if not there
	// moved says that what was here does not show through: the directory was
	// replaced, or renamed, or is in one that was.
	moved bool
	// report tells the place itself, once, before the first thing in it.
	report func() error
}

// full reports whether every name in a place counts, not only those in the
// uppers.
func (p *place) full() bool { return p.moved || p.image == nil }

// before is what the files in a place are compared with.
func (p *place) before() *dir {
	if p.moved {
		return p.image
	}
	return p.lower
}

func (p *place) close() {
	p.whole.close()
	p.lower.close()
	p.image.close()
}

// heights opens the root as it is seen from each.
func (w *walk) heights(p *place) (err error) {
	if p.whole, err = w.view.root(0, 0); err != nil {
		return err
	}
	if p.lower, err = w.view.root(w.uppers, 0); err != nil {
		return err
	}
	p.image, err = w.view.root(w.uppers, w.init)
	return err
}

func (w *walk) root() error {
	p := &place{path: "."}
	defer p.close()
	if err := w.heights(p); err != nil {
		return err
	}
	p.report = func() error { return nil }
	if changed, err := w.rootChanged(p); err != nil || !changed {
		return errors.Join(err, w.contents(p))
	}
	e := entry{name: ".", dirfd: p.whole.parts[0].fd}
	var err error
	if e.stat, err = w.view.statRoot(p.whole); err != nil {
		return err
	}
	if err := w.tell(Modified, p, ".", &e); err != nil {
		return err
	}
	return w.contents(p)
}

// rootChanged compares the owner and mode of the root. Its time does not count:
// a snapshot's root gets the time of its making.
func (w *walk) rootChanged(p *place) (bool, error) {
	if p.lower == nil {
		return false, nil
	}
	a, err := w.view.statRoot(p.whole)
	if err != nil {
		return false, err
	}
	b, err := w.view.statRoot(p.lower)
	if err != nil {
		return false, err
	}
	return a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid, nil
}

// contents reports what changed in a directory.
func (w *walk) contents(p *place) error {
	names := newNameReader(w.sources(p), w.buf[:])
	for {
		some, err := names.next()
		if err != nil {
			return &fs.PathError{Op: "read", Path: p.path, Err: err}
		}
		if len(some) == 0 {
			return nil
		}
		for _, name := range some {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			if err := raced(w.name(p, name)); err != nil && (!w.shown || !errors.Is(err, ErrChanged)) {
				return err
			}
		}
	}
}

// sources are the directories whose names can be changes.
func (w *walk) sources(p *place) []int {
	if !p.full() {
		return p.whole.fds(w.uppers)
	}
	fds := p.whole.fds(len(w.view.roots))
	if p.image != nil {
		fds = append(fds, p.image.fds(len(w.view.roots))...)
	}
	return fds
}

// name reports what changed under one name.
func (w *walk) name(p *place, name string) error {
	at := path.Join(p.path, name)
	e, ok, err := w.view.lookup(p.whole, name)
	if err != nil {
		return fmt.Errorf("look at %s: %w", at, err)
	}
	if !ok || e.stat.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return w.deleted(p, at, name, e.name != "")
	}
	if e.isDir() {
		return w.directory(p, at, &e)
	}
	if w.hidden(e.layer) {
		return nil
	}
	return w.file(p, at, &e)
}

// hidden reports whether a layer is the init layer.
func (w *walk) hidden(layer int) bool { return w.init > 0 && layer == w.init }

// deleted reports that nothing is under a name, if the image has something
// there. A socket counts as nothing: a layer cannot hold it. If the image has
// nothing there either, then a whiteout or a socket has been met, above or in the
// image, or what had the name has gone since the directory was read.
func (w *walk) deleted(p *place, at, name string, met bool) error {
	old, ok, err := w.view.lookup(p.image, name)
	switch {
	case err != nil:
		return fmt.Errorf("look at %s: %w", at, err)
	case !ok && !met && old.name == "":
		return fmt.Errorf("look at %s: %w", at, ErrChanged)
	case !ok:
		return nil
	}
	if err := w.reserved(at, name); err != nil {
		return err
	}
	return w.tell(Deleted, p, at, &entry{name: name})
}

// file reports anything but a directory, unless it is what it was.
func (w *walk) file(p *place, at string, e *entry) error {
	old, ok, err := w.view.lookup(p.before(), e.name)
	if err != nil {
		return fmt.Errorf("look at %s: %w", at, err)
	}
	kind := Added
	if ok {
		kind = Modified
		// A file of several names must stay one: it is told with the others.
		// And a copy of one of several names is a file of its own now.
		if e.layer >= w.uppers || e.stat.Nlink == 1 && old.stat.Nlink == 1 {
			same, err := w.view.same(p.whole, e, w.view, p.before(), &old)
			if err != nil {
				return fmt.Errorf("compare %s: %w", at, err)
			}
			if same {
				return nil
			}
		}
	}
	return w.tell(kind, p, at, e)
}

// directory reports a directory if it is new or changed, and what changed in
// it.
func (w *walk) directory(p *place, at string, e *entry) (err error) {
	sub := &place{path: at}
	defer func() { sub.close() }()
	if sub.whole, err = w.view.open(p.whole, *e); err != nil {
		return fmt.Errorf("open %s: %w", at, err)
	}
	if len(sub.whole.parts) == 0 {
		return fmt.Errorf("open %s: %w", at, ErrChanged)
	}
	if last := sub.whole.parts[len(sub.whole.parts)-1]; w.hidden(e.layer) && w.hidden(last.layer) {
		return nil // of the init layer alone
	}
	old, err := w.openOld(p, sub, e.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", at, err)
	}
	sub.moved = p.moved || !sub.whole.plain

	kind, told := Added, false
	if old != nil {
		kind = Modified
	}
	sub.report = func() error {
		if told {
			return nil
		}
		told = true
		return w.tell(kind, p, at, e)
	}
	same := false
	if old != nil && old.isDir() {
		if same, err = w.view.same(nil, e, w.view, nil, old); err != nil {
			return fmt.Errorf("compare %s: %w", at, err)
		}
	}
	if !same {
		if err := sub.report(); err != nil {
			return err
		}
	}
	return w.contents(sub)
}

// openOld opens what was at a directory's place before, and returns the entry
// to compare with; nil if nothing was there.
func (w *walk) openOld(p, sub *place, name string) (*entry, error) {
	var old *entry
	for _, height := range []struct {
		from *dir
		to   **dir
	}{{p.lower, &sub.lower}, {p.image, &sub.image}} {
		e, ok, err := w.view.lookup(height.from, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if old == nil || p.moved {
			old = &e
		}
		if !e.isDir() {
			continue
		}
		if *height.to, err = w.view.open(height.from, e); err != nil {
			return nil, err
		}
	}
	return old, nil
}

// tell reports a change, after the directory that it is in.
func (w *walk) tell(kind Kind, p *place, at string, e *entry) error {
	if err := p.report(); err != nil {
		return err
	}
	if kind != Deleted {
		if err := w.reserved(at, e.name); err != nil {
			return err
		}
	}
	c := &Change{Kind: kind, Path: at, Stat: e.stat, view: w.view, dir: p.whole, entry: e, at: p}
	w.stats.Changes++
	if c.Type() == unix.S_IFREG {
		w.stats.Bytes += e.stat.Size
	}
	return w.visit(c)
}

// reserved refuses names that a layer cannot hold.
func (w *walk) reserved(at, name string) error {
	if w.anyName || !IsReserved(name) {
		return nil
	}
	return fmt.Errorf("%s: a name that begins with %q stands for a deletion in an image's layers, so the file cannot be part of one: rename or remove it: %w", at, whiteoutPrefix, ErrReserved)
}

// ErrReserved says that a file's name cannot be in a layer. It is errdefs'
// ErrConflict.
var ErrReserved = errdefs.ErrConflict.WithMessage("reserved name")
