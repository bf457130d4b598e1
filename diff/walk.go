package diff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
	// Reserved says to tell names and paths as well that the layers of an image
	// cannot hold. Without it they are ErrReserved and ErrTooLong.
	Reserved bool
	// Shown says that the changes are only shown: what goes or changes its type
	// while it is looked at is left out, and so is what is in a directory whose path
	// is too long for a layer.
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
//
// The walk does not end at any depth, and takes memory for the names of the
// directories that it is in, and for some of the names in them. It holds the
// descriptors of two merged directories, and of 64 directories more.
func (c *Container) Walk(ctx context.Context, visit func(*Change) error) (stats WalkStats, err error) {
	w, err := c.open(ctx, visit)
	if err != nil {
		return WalkStats{}, err
	}
	defer w.view.close()
	defer w.at.close()
	err = raced(w.run())
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
		names, err := newNameReader([]int{upper}, w.at.buf).next()
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
	w := &walk{ctx: ctx, visit: visit, anyName: c.Reserved, shown: c.Shown, uppers: len(c.Uppers), sealed: c.Sealed}
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
	w.view.mapped, w.view.mapIDs, w.view.ctx = c.Mapped, c.IDs.Inside, ctx
	w.at = newDescent[place](w.view.openName, w.view.openName, w.view.openName)
	return w, nil
}

// walk is one reading of a container.
type walk struct {
	ctx     context.Context
	visit   func(*Change) error
	view    *view
	at      *descent[place]
	anyName bool // names and paths that layers cannot hold are told
	shown   bool // what goes meanwhile is left out
	uppers  int  // layers that hold changes
	sealed  int  // layers below those, whose changes are told elsewhere
	init    int  // the init layer; 0 if there is none
	stats   WalkStats
}

// place is a directory as it is seen from three heights.
type place struct {
	whole *dir // by the container
	lower *dir // before the changes: init layer and image; nil if not there
	image *dir // by the image; nil if not there
	// moved says that what was here does not show through: the directory was
	// replaced, or renamed, or is in one that was.
	moved bool
	// self is the directory until it has been told, which it is before the first
	// thing in it, and kind what happened to it.
	self *entry
	kind Kind
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

// run walks all.
func (w *walk) run() error {
	if err := w.root(); err != nil {
		return err
	}
	for {
		name, ok, err := w.at.next(w.sources)
		switch {
		case err != nil:
			path, _ := w.at.pathOf(len(w.at.levels) - 1)
			err = raced(&fs.PathError{Op: "read", Path: path, Err: err})
		case ok:
			if err = w.ctx.Err(); err == nil {
				err = raced(w.name(name))
			}
		case len(w.at.levels) == 1:
			return nil
		default:
			err = w.leave()
		}
		if err != nil && (!w.shown || !errors.Is(err, ErrChanged)) {
			return err
		}
	}
}

// leave goes back to the directory above, or if that has gone, and only what can
// be shown counts, to the next one that has not.
func (w *walk) leave() error {
	for {
		err := raced(w.at.pop())
		if err == nil || !w.shown || !errors.Is(err, ErrChanged) {
			return err
		}
	}
}

// root begins a walk.
func (w *walk) root() error {
	p := place{}
	err := w.heights(&p)
	w.at.push("", p, p.whole, p.lower, p.image)
	if err != nil {
		return err
	}
	if changed, err := w.rootChanged(&p); err != nil || !changed {
		return err
	}
	e := entry{name: ".", in: p.whole.parts[0]}
	if e.stat, err = w.view.statRoot(p.whole); err != nil {
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
	before, err := w.view.root(w.uppers+w.sealed, 0)
	if err != nil {
		return false, err
	}
	defer before.close()
	return w.rootDiffers(p.whole, before)
}

// rootDiffers compares owner, mode and attributes of the root. Its time does not
// count: a snapshot's root gets the time of its making.
func (w *walk) rootDiffers(now, before *dir) (bool, error) {
	if before == nil {
		return false, nil
	}
	a, err := w.view.statRoot(now)
	if err != nil {
		return false, err
	}
	b, err := w.view.statRoot(before)
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
func (w *walk) rootGained(now, before *dir) (bool, error) {
	var attrs [2][]Xattr
	for i, d := range []*dir{now, before} {
		var err error
		e := entry{name: ".", in: d.parts[0], layer: d.parts[0].layer}
		if attrs[i], err = w.view.xattrs(&e); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(attrs[0], func(x Xattr) bool {
		return !slices.ContainsFunc(attrs[1], func(y Xattr) bool { return sameXattrs([]Xattr{x}, []Xattr{y}) })
	}), nil
}

// sources are the directories whose names can be changes.
func (w *walk) sources() []int {
	p := &w.at.top().of
	if !p.full() {
		return p.whole.fds(w.uppers)
	}
	fds := p.whole.fds(len(w.view.roots))
	if p.image != nil {
		fds = append(fds, p.image.fds(len(w.view.roots))...)
	}
	return fds
}

// name reports what changed under one name of the directory that the walk is in.
func (w *walk) name(name string) error {
	p := &w.at.top().of
	e, ok, err := w.view.lookup(p.whole, name)
	if err != nil {
		return w.failed("look at", name, err)
	}
	if !ok || e.stat.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return w.deleted(p, name, e.name != "")
	}
	if e.isDir() {
		return w.directory(p, &e)
	}
	if w.hidden(e.layer) {
		return nil
	}
	return w.file(p, &e)
}

// failed says of which name in the directory that the walk is in an error is.
func (w *walk) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	path, _ := w.at.join(name)
	return fmt.Errorf("%s %s: %w", op, beginning(path), err)
}

// hidden reports whether a layer is the init layer.
func (w *walk) hidden(layer int) bool { return w.init > 0 && layer == w.init }

// deleted reports that nothing is under a name, if the image has something
// there. A socket counts as nothing: a layer cannot hold it. If the image has
// nothing there either, then a whiteout or a socket has been met, above or in the
// image, or what had the name has gone since the directory was read.
func (w *walk) deleted(p *place, name string, met bool) error {
	old, ok, err := w.view.lookup(p.image, name)
	switch {
	case err != nil:
		return w.failed("look at", name, err)
	case !ok && !met && old.name == "":
		return w.failed("look at", name, ErrChanged)
	case !ok:
		return nil
	}
	if err := w.reserved(name); err != nil {
		return err
	}
	return w.tell(Deleted, &entry{name: name})
}

// file reports anything but a directory, unless it is what it was.
func (w *walk) file(p *place, e *entry) error {
	old, ok, err := w.view.lookup(p.before(), e.name)
	if err != nil {
		return w.failed("look at", e.name, err)
	}
	kind := Added
	if ok {
		kind = Modified
		// A file of several names must stay one: it is told with the others.
		// And a copy of one of several names is a file of its own now.
		if e.layer >= w.uppers || e.stat.Nlink == 1 && old.stat.Nlink == 1 {
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
func (w *walk) same(d *dir, e *entry, before *dir, old *entry) (bool, error) {
	same, err := w.view.same(d, e, w.view, before, old)
	if w.shown && errors.Is(err, ErrTooLarge) {
		return false, nil
	}
	return same, w.failed("compare", e.name, err)
}

// directory reports a directory if it is new or changed, and goes down into it.
func (w *walk) directory(p *place, e *entry) (err error) {
	if _, length := w.at.join(e.name); length >= maxPath && w.shown {
		return w.tell(Added, e) // and all that is in it
	}
	sub := place{}
	defer func() {
		if err != nil {
			sub.close()
		}
	}()
	if sub.whole, err = w.view.open(p.whole, *e); err != nil {
		return w.failed("open", e.name, err)
	}
	if len(sub.whole.parts) == 0 {
		return w.failed("open", e.name, ErrChanged)
	}
	if last := sub.whole.parts[len(sub.whole.parts)-1]; w.hidden(e.layer) && w.hidden(last.layer) {
		sub.close() // of the init layer alone
		return nil
	}
	old, err := w.openOld(p, &sub, e.name)
	if err != nil {
		return w.failed("open", e.name, err)
	}
	sub.moved = p.moved || !sub.whole.plain
	sub.self, sub.kind = e, Added
	same := false
	if old != nil {
		sub.kind = Modified
		if old.isDir() {
			if same, err = w.same(nil, e, nil, old); err != nil {
				return err
			}
		}
	}
	w.at.push(e.name, sub, sub.whole, sub.lower, sub.image)
	sub = place{} // the way closes it
	if !same {
		return w.report()
	}
	return nil
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

// tell reports a change of a name in the directory that the walk is in, after the
// directory.
func (w *walk) tell(kind Kind, e *entry) error {
	if err := w.report(); err != nil {
		return err
	}
	if kind != Deleted {
		if err := w.reserved(e.name); err != nil {
			return err
		}
	}
	path, length := w.at.join(e.name)
	return w.emit(kind, e, len(w.at.levels)-1, path, length)
}

// report tells the directories on the way that have not been told.
func (w *walk) report() error {
	levels := w.at.levels
	i := len(levels) - 1
	for i > 0 && levels[i-1].of.self != nil {
		i--
	}
	for ; i < len(levels); i++ {
		self := levels[i].of.self
		if self == nil {
			continue
		}
		if err := w.at.ensure(i - 1); err != nil {
			return err
		}
		path, length := w.at.pathOf(i)
		if err := w.named(path, self.name); err != nil {
			return err
		}
		levels[i].of.self = nil
		if err := w.emit(levels[i].of.kind, self, i-1, path, length); err != nil {
			return err
		}
	}
	return nil
}

// emit visits a change of a name in a directory on the way.
func (w *walk) emit(kind Kind, e *entry, level int, path string, length int) error {
	if needs := length + markLength(kind); needs >= maxPath && !w.anyName && !w.shown {
		return tooLong(path, length)
	}
	c := &Change{Kind: kind, Path: path, Stat: e.stat, Length: length, view: w.view, dir: w.at.levels[level].of.whole, entry: e, at: &w.at.levels[level].of, in: w.at, level: level}
	w.stats.Changes++
	if c.Type() == unix.S_IFREG {
		w.stats.Bytes += e.stat.Size
	}
	return w.visit(c)
}

// markLength is by how much a path is longer in a layer.
func markLength(kind Kind) int {
	if kind == Deleted {
		return len(whiteoutPrefix)
	}
	return 0
}

// reserved refuses names that a layer cannot hold.
func (w *walk) reserved(name string) error {
	path, _ := w.at.join(name)
	return w.named(path, name)
}

func (w *walk) named(path, name string) error {
	if w.anyName || !IsReserved(name) {
		return nil
	}
	return fmt.Errorf("%s: a name that begins with %q stands for a deletion in an image's layers, so the file cannot be part of one: rename or remove it: %w", beginning(path), whiteoutPrefix, ErrReserved)
}

// ErrReserved says that a file's name cannot be in a layer. It is errdefs'
// ErrConflict.
var ErrReserved = errdefs.ErrConflict.WithMessage("reserved name")
