package tree

import (
	"math"
	"slices"
	"strings"
)

// maxViews is how many views of one tree a walk has at most.
const maxViews = 3

// openFunc opens the directory of a name in another one; [diff.ErrChanged] if there is
// none.
type openFunc func(at *Dir, name string) (*Dir, error)

// Descent is the way from the root of a tree to where a walk is. The tree may be
// as deep, and its directories as large, as a container likes: of each directory
// on the way it keeps the name and what the walk wants to keep, and no path.
// Directories far up are closed, and opened again when the walk comes back.
type Descent[T any] struct {
	opens  [maxViews]openFunc
	Levels []Level[T]
	path   []byte // from the root, names with slashes between
	buf    []byte // for reading directories
	open   int    // descriptors of levels but the root
	lowest int    // no level below this one but the root is open
	held   int    // bytes that the names in memory take, as a rule up to twice namesAtOnce
}

// Way is what a walk has gone down. It opens directories again that have been
// closed.
type Way interface {
	Ensure(level int) error
}

// Level is a directory on the way.
type Level[T any] struct {
	Of     T
	Dirs   [maxViews]*Dir // as each view has it; nil where it is none
	end    int            // of its path
	closed bool
	names  []string // the next ones that are to be visited
	batch  int      // how many they were when room was made for them
	more   bool     // whether there may be others
	last   string   // if so, they come after this one
}

// NewDescent returns a descent of a tree in as many views as there are functions to open
// their directories, at most three.
func NewDescent[T any](opens ...openFunc) *Descent[T] {
	d := &Descent[T]{buf: make([]byte, 32<<10), lowest: 1}
	copy(d.opens[:], opens)
	return d
}

// Top is the directory that the walk is in.
func (d *Descent[T]) Top() *Level[T] { return &d.Levels[len(d.Levels)-1] }

// Push goes down into a directory, or to the root of all, whose name is "". It
// closes the directory when the walk leaves it.
func (d *Descent[T]) Push(name string, of T, dirs ...*Dir) {
	l := Level[T]{Of: of, more: true}
	copy(l.Dirs[:], dirs)
	if len(d.Levels) > 0 {
		d.Top().fit()
		if len(d.path) > 0 {
			d.path = append(d.path, '/')
		}
		d.path = append(d.path, name...)
		d.open += l.descriptors()
	}
	l.end = len(d.path)
	d.Levels = append(d.Levels, l)
	d.shut(len(d.Levels) - 1)
}

// Pop leaves the directory that the walk is in, and has the one above open.
func (d *Descent[T]) Pop() error {
	above := len(d.Levels) - 2
	var err error
	if above >= 0 && d.Levels[above].closed {
		if !d.climb(above) {
			err = d.descend(above)
		}
	}
	d.drop()
	return err
}

// drop forgets the last directory.
func (d *Descent[T]) drop() {
	i := len(d.Levels) - 1
	l := &d.Levels[i]
	if !l.closed && i > 0 {
		d.open -= l.descriptors()
	}
	d.release(l.names)
	for _, dir := range l.Dirs {
		dir.Close()
	}
	*l = Level[T]{}
	d.Levels = d.Levels[:i]
	d.lowest = min(d.lowest, max(i, 1))
	d.path = d.path[:0]
	if i > 0 {
		d.path = d.path[:d.Levels[i-1].end]
	}
}

// Close closes all.
func (d *Descent[T]) Close() {
	for len(d.Levels) > 0 {
		d.drop()
	}
}

// First is the directory that the walk is in, as the first view has it, for
// [Descent.Next].
func (d *Descent[T]) First() []int { return d.Top().Dirs[0].FDs(math.MaxInt) }

// Name is that of a directory on the way.
func (d *Descent[T]) Name(i int) string {
	path := string(d.path[d.Levels[i-1].end:d.Levels[i].end])
	return strings.TrimPrefix(path, "/")
}

// Next returns the next name in the directory that the walk is in, in the order
// of their bytes; ok is false if there is none. sources are the directories that
// have the names.
func (d *Descent[T]) Next(sources func() []int) (name string, ok bool, err error) {
	return d.NextOf(sources, func() []string { return nil })
}

// NextOf is Next with names that count although no source may have them.
func (d *Descent[T]) NextOf(sources func() []int, also func() []string) (name string, ok bool, err error) {
	l := d.Top()
	if len(l.names) == 0 && l.more {
		r := NameReader{fds: sources(), buf: d.buf, last: l.last, more: true, also: also()}
		if l.names, err = r.Next(); err != nil {
			l.more = false // the walk may go on without it
			return "", false, err
		}
		l.more, l.last, l.batch = r.more, r.last, len(l.names)
		d.spare()
		for _, name := range l.names {
			d.held += costOf(name)
		}
	}
	if len(l.names) == 0 {
		return "", false, nil
	}
	name, l.names[0] = l.names[0], "" // which the rest of the list would keep
	d.held -= costOf(name)
	if l.names = l.names[1:]; len(l.names) == 0 {
		l.names = nil
	}
	return name, true, nil
}

// spare forgets names that will be read again, if those of the directories above the
// one that has just been read take too much together: each keeps its share. So that is
// seldom needed, and each directory is read a few times more.
func (d *Descent[T]) spare() {
	if d.held <= namesAtOnce {
		return
	}
	share := namesAtOnce / 2 / len(d.Levels)
	for i := range len(d.Levels) - 1 {
		l := &d.Levels[i]
		size := 0
		for at, name := range l.names {
			if size += costOf(name); size <= share {
				continue
			}
			d.release(l.names[at:])
			l.names, l.more, l.batch = slices.Clone(l.names[:at]), true, at
			if at > 0 {
				l.last = l.names[at-1]
			} else {
				l.last = d.Name(i + 1) // where the walk is
			}
			break
		}
	}
}

// fit gives up the room of names that have been visited.
func (l *Level[T]) fit() {
	if len(l.names) < l.batch/2 {
		l.names, l.batch = slices.Clone(l.names), len(l.names)
	}
}

func (d *Descent[T]) release(names []string) {
	for _, name := range names {
		d.held -= costOf(name)
	}
}
