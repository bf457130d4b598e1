package diff

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/inode"
)

// part is a directory in one layer.
type part struct {
	layer int
	fd    int // -1 while it is shut
	id    inode.ID
}

// openPart opens the root of a layer.
func openPart(layer, root int) (*part, error) {
	fd, err := openDirAt(root, ".")
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &part{layer, fd, inode.Of(&st)}, nil
}

func (p *part) shut() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
	p.fd = -1
}

func (p *part) climb(below int) bool {
	fd, err := unix.Openat(below, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || inode.Of(&st) != p.id {
		_ = unix.Close(fd)
		return false
	}
	p.fd = fd
	return true
}

// dir is a merged directory: the directories that make it, topmost first.
type dir struct {
	parts []*part
	// without is a layer that is left out, as if it were not in the stack; 0 for
	// none, since the topmost never is.
	without int
	// plain says that all layers below, from where the parts above end, show
	// through at the same path: nothing is opaque or was renamed.
	plain bool
}

// fds are the descriptors of the parts in layers before the given one.
func (d *dir) fds(before int) []int {
	var fds []int
	for _, p := range d.parts {
		if p.layer < before {
			fds = append(fds, p.fd)
		}
	}
	return fds
}

// below is what a directory is made of in the layers below one. It shares the
// descriptors: it is not closed.
func (d *dir) below(layer int) *dir {
	b := &dir{without: d.without}
	for _, p := range d.parts {
		if p.layer > layer {
			b.parts = append(b.parts, p)
		}
	}
	return b
}

// shut closes a directory that is to be opened again.
func (d *dir) shut() {
	if d == nil {
		return
	}
	for _, p := range d.parts {
		p.shut()
	}
}

func (d *dir) close() {
	if d == nil {
		return
	}
	d.shut()
	d.parts = nil
}

// climb opens a directory as what is above another one.
func (d *dir) climb(below *dir) bool {
	if d == nil || below == nil {
		return d == nil // a view that ended further up
	}
	if len(d.parts) != len(below.parts) {
		return false
	}
	for i, p := range d.parts {
		if from := below.parts[i]; from.layer != p.layer || from.fd < 0 || !p.climb(from.fd) {
			return false
		}
	}
	return true
}

// take takes over the descriptors of another one, which must be the same.
func (d *dir) take(again *dir) error {
	same := len(d.parts) == len(again.parts)
	for i := 0; same && i < len(d.parts); i++ {
		same = d.parts[i].layer == again.parts[i].layer && d.parts[i].id == again.parts[i].id
	}
	if !same {
		again.close()
		return ErrChanged
	}
	for i, p := range again.parts {
		d.parts[i].fd = p.fd
	}
	return nil
}

// fd is the descriptor of the topmost part.
func (d *dir) fd() int { return d.parts[0].fd }

// self is the entry of the directory itself, as its topmost part has it.
func (d *dir) self() entry { return entry{name: ".", layer: d.parts[0].layer, in: d.parts[0]} }

// lowest is the lowest layer that has a part, negative if none has.
func (d *dir) lowest() int {
	if len(d.parts) == 0 {
		return -1
	}
	return d.parts[len(d.parts)-1].layer
}

// sameFolders reports whether two directories are made of the same folders. As a
// layer always lies on the same ones, nothing below can differ then.
func (d *dir) sameFolders(as *dir) bool {
	return slices.EqualFunc(d.parts, as.parts, func(x, y *part) bool { return x.id == y.id })
}

// dirOf is an open directory by itself, which has that stat.
func dirOf(fd int, st *unix.Stat_t) *dir {
	return &dir{parts: []*part{{fd: fd, id: inode.Of(st)}}}
}

// reopenedDir is an open directory by itself, with a descriptor of its own.
func reopenedDir(fd int) (*dir, error) {
	p, err := openPart(0, fd)
	if err != nil {
		return nil, err
	}
	return &dir{parts: []*part{p}}, nil
}

// openPlain opens a directory as it is: of a tree that is no overlay's.
func openPlain(at *dir, name string) (*dir, error) {
	fd, err := openDirAt(at.fd(), name)
	if err != nil {
		return nil, err
	}
	return openedDir(fd)
}

// openedDir is an open directory by itself. It closes the descriptor if it fails.
func openedDir(fd int) (*dir, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return dirOf(fd, &st), nil
}

// entry is what shows under a name.
type entry struct {
	name  string
	stat  unix.Stat_t
	layer int
	in    *part // that has it
}

// dirfd is the open directory that has it.
func (e *entry) dirfd() int { return e.in.fd }

func (e *entry) isDir() bool { return e.stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// path reaches the entry itself, also when it is a symbolic link: only its
// last element is a name, below an open descriptor.
func (e *entry) path() string {
	return procPath(e.dirfd(), e.name)
}
