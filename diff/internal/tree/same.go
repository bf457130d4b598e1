package tree

import (
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/xattr"
)

// Same reports whether a file of v and one of w are alike in all that a layer
// carries, or in all attributes if the views are Whole. Times are compared to the nanosecond: a copy that overlay made keeps
// them. A program can set them too, so contents are compared even so.
func (v *View) Same(ad *Dir, a *Entry, w *View, bd *Dir, b *Entry) (bool, error) {
	if !sameStat(&a.Stat, &b.Stat) {
		return false, nil
	}
	ax, err := v.Xattrs(a)
	if err != nil {
		return false, err
	}
	bx, err := w.Xattrs(b)
	if err != nil || !xattr.Equal(ax, bx) {
		return false, err
	}
	switch a.Stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		at, err := ReadlinkAt(a.DirFD(), a.Name)
		if err != nil {
			return false, err
		}
		bt, err := ReadlinkAt(b.DirFD(), b.Name)
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

// Seen is what shows under a name in one of several trees.
type Seen struct {
	View *View
	Dir  *Dir
	Entry
	OK bool // whether there is anything
}

// Look finds what shows under a name of a merged directory, which may be nil.
func Look(v *View, d *Dir, name string) (Seen, error) {
	e, ok, err := v.Lookup(d, name)
	return Seen{View: v, Dir: d, Entry: e, OK: ok}, err
}

// IsDir reports whether it is there, and a directory.
func (s *Seen) IsDir() bool { return s.OK && s.Entry.IsDir() }

// Kind is the file type part of the mode, unix.S_IFREG and so on.
func (s *Seen) Kind() uint32 { return s.Stat.Mode & unix.S_IFMT }

// Alike reports whether two files are the same but for their times. Layers that
// were unpacked separately can have other times, and a new image mostly has.
func Alike(a, b *Seen) (bool, error) {
	if !a.OK || !b.OK {
		return false, nil
	}
	if a.Stat.Dev == b.Stat.Dev && a.Stat.Ino == b.Stat.Ino {
		return true, nil
	}
	timeless := a.Entry
	timeless.Stat.Mtim = b.Stat.Mtim
	return a.View.Same(a.Dir, &timeless, b.View, b.Dir, &b.Entry)
}
