package diff

import "golang.org/x/sys/unix"

// same reports whether a file of v and one of w are alike in all that a layer
// carries. Times are compared to the nanosecond: a copy that overlay made keeps
// them. A program can set them too, so contents are compared even so.
func (v *view) same(ad *dir, a *entry, w *view, bd *dir, b *entry) (bool, error) {
	if !sameStat(&a.stat, &b.stat) {
		return false, nil
	}
	ax, err := v.xattrs(a)
	if err != nil {
		return false, err
	}
	bx, err := w.xattrs(b)
	if err != nil || !sameXattrs(ax, bx) {
		return false, err
	}
	switch a.stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		at, err := readlinkAt(a.dirfd(), a.name)
		if err != nil {
			return false, err
		}
		bt, err := readlinkAt(b.dirfd(), b.name)
		return at == bt, err
	case unix.S_IFREG:
		return v.sameContent(ad, a, w, bd, b)
	}
	return true, nil
}

func sameStat(a, b *unix.Stat_t) bool {
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Mtim != b.Mtim {
		return false
	}
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return true
	case unix.S_IFCHR, unix.S_IFBLK:
		return a.Rdev == b.Rdev
	default:
		return a.Size == b.Size
	}
}

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
