package diff

import (
	"fmt"

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
	if same, err := alike(old, image); err != nil || !same || !old.isDir() {
		return same, wrapCompare(at, err)
	}
	a, err := old.view.open(old.dir, old.entry)
	if err != nil {
		return false, wrapCompare(at, err)
	}
	defer a.close()
	b, err := image.view.open(image.dir, image.entry)
	if err != nil {
		return false, wrapCompare(at, err)
	}
	defer b.close()
	if one, err := oneFolder(a, b); err != nil || one {
		return one, wrapCompare(at, err)
	}
	return g.sameNames(at, seen{view: old.view, dir: a}, seen{view: image.view, dir: b})
}

// sameNames compares all that is in two directories.
func (g *merging) sameNames(at string, old, image seen) (bool, error) {
	fds := append(old.dir.fds(len(old.view.roots)), image.dir.fds(len(image.view.roots))...)
	names := newNameReader(fds, g.buf[:])
	for {
		some, err := names.next()
		if err != nil || len(some) == 0 {
			return err == nil, wrapCompare(at, err)
		}
		for _, name := range some {
			if err := g.ctx.Err(); err != nil {
				return false, err
			}
			a, err := look(old.view, old.dir, name)
			if err != nil {
				return false, wrapCompare(at, err)
			}
			b, err := look(image.view, image.dir, name)
			if err != nil {
				return false, wrapCompare(at, err)
			}
			if !a.ok && !b.ok {
				continue // whiteouts
			}
			if same, err := g.sameTree(at+"/"+name, &a, &b); err != nil || !same {
				return false, err
			}
		}
	}
}

// oneFolder reports whether two directories are made of the same folders. As a
// layer always lies on the same ones, nothing below can differ then.
func oneFolder(a, b *dir) (bool, error) {
	if len(a.parts) != len(b.parts) {
		return false, nil
	}
	for i := range a.parts {
		if one, err := sameInode(a.parts[i].fd, b.parts[i].fd); err != nil || !one {
			return false, err
		}
	}
	return true, nil
}

func sameInode(a, b int) (bool, error) {
	var x, y unix.Stat_t
	if err := unix.Fstat(a, &x); err != nil {
		return false, err
	}
	if err := unix.Fstat(b, &y); err != nil {
		return false, err
	}
	return x.Dev == y.Dev && x.Ino == y.Ino, nil
}

// wrapCompare says for which path of the images a comparison failed.
func wrapCompare(at string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("compare %s of two images: %w", at, err)
}
