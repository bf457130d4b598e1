package diff

import (
	"math"
	"slices"
	"strings"
)

// maxViews is how many views of one tree a walk has at most.
const maxViews = 3

// openFunc opens the directory of a name in another one; [ErrChanged] if there is
// none.
type openFunc func(at *dir, name string) (*dir, error)

// descent is the way from the root of a tree to where a walk is. The tree may be
// as deep, and its directories as large, as a container likes: of each directory
// on the way it keeps the name and what the walk wants to keep, and no path.
// Directories far up are closed, and opened again when the walk comes back.
type descent[T any] struct {
	opens  [maxViews]openFunc
	levels []level[T]
	path   []byte // from the root, names with slashes between
	buf    []byte // for reading directories
	open   int    // descriptors of levels but the root
	lowest int    // no level below this one but the root is open
	held   int    // bytes that the names in memory take, as a rule up to twice namesAtOnce
}

// way is what a walk has gone down. It opens directories again that have been
// closed.
type way interface {
	ensure(level int) error
}

// level is a directory on the way.
type level[T any] struct {
	of     T
	dirs   [maxViews]*dir // as each view has it; nil where it is none
	end    int            // of its path
	closed bool
	names  []string // the next ones that are to be visited
	batch  int      // how many they were when room was made for them
	more   bool     // whether there may be others
	last   string   // if so, they come after this one
}

func newDescent[T any](opens ...openFunc) *descent[T] {
	d := &descent[T]{buf: make([]byte, 32<<10), lowest: 1}
	copy(d.opens[:], opens)
	return d
}

func (d *descent[T]) top() *level[T] { return &d.levels[len(d.levels)-1] }

// push goes down into a directory, or to the root of all, whose name is "". It
// closes the directory when the walk leaves it.
func (d *descent[T]) push(name string, of T, dirs ...*dir) {
	l := level[T]{of: of, more: true}
	copy(l.dirs[:], dirs)
	if len(d.levels) > 0 {
		d.top().fit()
		if len(d.path) > 0 {
			d.path = append(d.path, '/')
		}
		d.path = append(d.path, name...)
		d.open += l.descriptors()
	}
	l.end = len(d.path)
	d.levels = append(d.levels, l)
	d.shut(len(d.levels) - 1)
}

// pop leaves the directory that the walk is in, and has the one above open.
func (d *descent[T]) pop() error {
	above := len(d.levels) - 2
	var err error
	if above >= 0 && d.levels[above].closed {
		if !d.climb(above) {
			err = d.descend(above)
		}
	}
	d.drop()
	return err
}

// drop forgets the last directory.
func (d *descent[T]) drop() {
	i := len(d.levels) - 1
	l := &d.levels[i]
	if !l.closed && i > 0 {
		d.open -= l.descriptors()
	}
	d.release(l.names)
	for _, dir := range l.dirs {
		dir.close()
	}
	*l = level[T]{}
	d.levels = d.levels[:i]
	d.lowest = min(d.lowest, max(i, 1))
	d.path = d.path[:0]
	if i > 0 {
		d.path = d.path[:d.levels[i-1].end]
	}
}

// close closes all.
func (d *descent[T]) close() {
	for len(d.levels) > 0 {
		d.drop()
	}
}

// first is the directory that the walk is in, as the first view has it, for
// [descent.next].
func (d *descent[T]) first() []int { return d.top().dirs[0].fds(math.MaxInt) }

// name is that of a directory on the way.
func (d *descent[T]) name(i int) string {
	path := string(d.path[d.levels[i-1].end:d.levels[i].end])
	return strings.TrimPrefix(path, "/")
}

// next returns the next name in the directory that the walk is in, in the order
// of their bytes; ok is false if there is none. sources are the directories that
// have the names.
func (d *descent[T]) next(sources func() []int) (name string, ok bool, err error) {
	l := d.top()
	if len(l.names) == 0 && l.more {
		r := nameReader{fds: sources(), buf: d.buf, last: l.last, more: true}
		if l.names, err = r.next(); err != nil {
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
func (d *descent[T]) spare() {
	if d.held <= namesAtOnce {
		return
	}
	share := namesAtOnce / 2 / len(d.levels)
	for i := range len(d.levels) - 1 {
		l := &d.levels[i]
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
				l.last = d.name(i + 1) // where the walk is
			}
			break
		}
	}
}

// fit gives up the room of names that have been visited.
func (l *level[T]) fit() {
	if len(l.names) < l.batch/2 {
		l.names, l.batch = slices.Clone(l.names), len(l.names)
	}
}

func (d *descent[T]) release(names []string) {
	for _, name := range names {
		d.held -= costOf(name)
	}
}
