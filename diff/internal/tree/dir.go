package tree

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
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
	fd, err := OpenDirAt(root, ".")
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

// Dir is a merged directory: the directories that make it, topmost first.
type Dir struct {
	parts []*part
	// without is a layer that is left out, as if it were not in the stack; 0 for
	// none, since the topmost never is.
	without int
	// Plain says that all layers below, from where the parts above end, show
	// through at the same path: nothing is opaque or was renamed.
	Plain bool
}

// FDs are the descriptors of the parts in layers before the given one.
func (d *Dir) FDs(before int) []int {
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
func (d *Dir) below(layer int) *Dir {
	b := &Dir{without: d.without}
	for _, p := range d.parts {
		if p.layer > layer {
			b.parts = append(b.parts, p)
		}
	}
	return b
}

// shut closes a directory that is to be opened again.
func (d *Dir) shut() {
	if d == nil {
		return
	}
	for _, p := range d.parts {
		p.shut()
	}
}

// Close closes a directory for good; nil is none.
func (d *Dir) Close() {
	if d == nil {
		return
	}
	d.shut()
	d.parts = nil
}

// climb opens a directory as what is above another one.
func (d *Dir) climb(below *Dir) bool {
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
func (d *Dir) take(again *Dir) error {
	same := len(d.parts) == len(again.parts)
	for i := 0; same && i < len(d.parts); i++ {
		same = d.parts[i].layer == again.parts[i].layer && d.parts[i].id == again.parts[i].id
	}
	if !same {
		again.Close()
		return diff.ErrChanged
	}
	for i, p := range again.parts {
		d.parts[i].fd = p.fd
	}
	return nil
}

// FD is the descriptor of the topmost part.
func (d *Dir) FD() int { return d.parts[0].fd }

// Self is the entry of the directory itself, as its topmost part has it.
func (d *Dir) Self() Entry { return Entry{Name: ".", Layer: d.parts[0].layer, in: d.parts[0]} }

// Lowest is the lowest layer that has a part, negative if none has.
func (d *Dir) Lowest() int {
	if len(d.parts) == 0 {
		return -1
	}
	return d.parts[len(d.parts)-1].layer
}

// SameFolders reports whether two directories are made of the same folders. As a
// layer always lies on the same ones, nothing below can differ then.
func (d *Dir) SameFolders(as *Dir) bool {
	return slices.EqualFunc(d.parts, as.parts, func(x, y *part) bool { return x.id == y.id })
}

// SameBelow reports whether two directories, which may be nil, have the same folders in
// the layers from one on, which is another one for each.
func (d *Dir) SameBelow(from int, as *Dir, asFrom int) bool {
	x, y := d.below(from-1).parts, []*part(nil)
	if as != nil {
		y = as.below(asFrom - 1).parts
	}
	return slices.EqualFunc(x, y, func(x, y *part) bool { return x.id == y.id })
}

// DirOf is an open directory by itself, which has that stat.
func DirOf(fd int, st *unix.Stat_t) *Dir {
	return &Dir{parts: []*part{{fd: fd, id: inode.Of(st)}}}
}

// ReopenedDir is an open directory by itself, with a descriptor of its own.
func ReopenedDir(fd int) (*Dir, error) {
	p, err := openPart(0, fd)
	if err != nil {
		return nil, err
	}
	return &Dir{parts: []*part{p}}, nil
}

// OpenPlain opens a directory as it is: of a tree that is no overlay's.
func OpenPlain(at *Dir, name string) (*Dir, error) {
	fd, err := OpenDirAt(at.FD(), name)
	if err != nil {
		return nil, err
	}
	return OpenedDir(fd)
}

// OpenedDir is an open directory by itself. It closes the descriptor if it fails.
func OpenedDir(fd int) (*Dir, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return DirOf(fd, &st), nil
}

// Entry is what shows under a name.
type Entry struct {
	Name  string
	Stat  unix.Stat_t
	Layer int
	in    *part // that has it
}

// DirFD is the open directory that has it.
func (e *Entry) DirFD() int { return e.in.fd }

// IsDir reports whether it is a directory.
func (e *Entry) IsDir() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// Path reaches the entry itself, also when it is a symbolic link: only its
// last element is a name, below an open descriptor.
func (e *Entry) Path() string {
	return ProcPath(e.DirFD(), e.Name)
}
