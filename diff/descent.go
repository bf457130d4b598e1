package diff

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// openAtOnce is how many descriptors of directories a walk holds, besides those
// of the root, of the directory that it is in, and of the one above.
const openAtOnce = 64

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

// ensure has a directory on the way open.
func (d *descent[T]) ensure(i int) error {
	if !d.levels[i].closed {
		return nil
	}
	return d.descend(i)
}

// climb opens a directory by the one below it. It fails if that is not a part of
// each, as where layers differ or a directory was renamed.
func (d *descent[T]) climb(i int) bool {
	l, below := &d.levels[i], &d.levels[i+1]
	if below.closed {
		return false
	}
	for view := range l.dirs {
		if !l.dirs[view].climb(below.dirs[view]) {
			l.shut()
			return false
		}
	}
	d.opened(i)
	return true
}

// descend opens a directory by its names, from the next open one above.
func (d *descent[T]) descend(i int) error {
	from := i
	for from > 0 && d.levels[from].closed {
		from--
	}
	for at := from + 1; at <= i; at++ {
		l := &d.levels[at]
		for view := range l.dirs {
			if err := d.reopen(at, view); err != nil {
				l.shut()
				return fmt.Errorf("open %s again: %w", beginning(string(d.path[:l.end])), err)
			}
		}
		d.opened(at)
	}
	return nil
}

func (d *descent[T]) reopen(i, view int) error {
	to, above := d.levels[i].dirs[view], d.levels[i-1].dirs[view]
	if to == nil {
		return nil
	}
	again, err := d.opens[view](above, d.name(i))
	if err != nil {
		return err
	}
	return to.take(again)
}

// opened notes that a directory is open again.
func (d *descent[T]) opened(i int) {
	l := &d.levels[i]
	l.closed = false
	d.open += l.descriptors()
	d.lowest = min(d.lowest, i)
	d.shut(i)
}

// shut closes directories far up until few enough are open: neither the root, nor
// the last two, nor i and the one above it.
func (d *descent[T]) shut(i int) {
	last := len(d.levels) - 1
	for at := d.lowest; d.open > openAtOnce && at < last-1; at++ {
		if at == i || at == i-1 {
			continue
		}
		if l := &d.levels[at]; !l.closed {
			d.open -= l.descriptors()
			l.shut()
		}
		if at == d.lowest {
			d.lowest++
		}
	}
}

// first is the directory that the walk is in, as the first view has it, for
// [descent.next].
func (d *descent[T]) first() []int { return d.top().dirs[0].fds(math.MaxInt) }

// openPlain opens a directory as it is: of a tree that is no overlay's.
func openPlain(at *dir, name string) (*dir, error) {
	fd, err := openDirAt(at.parts[0].fd, name)
	if err != nil {
		return nil, err
	}
	return openedDir(fd)
}

// openedDir is an open directory by itself. It closes the descriptor if it fails.
func openedDir(fd int) (*dir, error) {
	p := &part{fd: fd}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		p.shut()
		return nil, err
	}
	p.id = fileID{st.Dev, st.Ino}
	return &dir{parts: []*part{p}}, nil
}

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

// join is the path of a name in the directory that the walk is in, or only its
// beginning, and its length in any case.
func (d *descent[T]) join(name string) (path string, length int) {
	if length = len(d.path) + len("/") + len(name); length < maxPath || len(d.path) == 0 {
		path = d.full(name)
		return path, len(path)
	}
	return cut(d.path), length
}

// full is join of however long a path.
func (d *descent[T]) full(name string) string {
	if len(d.path) == 0 {
		return name
	}
	return string(d.path) + "/" + name
}

// pathOf is join for a directory on the way itself.
func (d *descent[T]) pathOf(i int) (path string, length int) {
	end := d.levels[i].end
	if i == 0 {
		return ".", 1
	}
	if end < maxPath {
		return string(d.path[:end]), end
	}
	return cut(d.path[:end]), end
}

// cut is what a path begins with that is not told whole: some names.
func cut(path []byte) string {
	path = path[:min(len(path), maxPath-maxName)]
	if end := bytes.LastIndexByte(path, '/'); end >= 0 {
		path = path[:end]
	}
	return string(path) + "/..."
}

// maxName bounds a name, as the kernel does (NAME_MAX), with what ends it.
const maxName = 256

func (l *level[T]) descriptors() (n int) {
	for _, d := range l.dirs {
		if d != nil {
			n += len(d.parts)
		}
	}
	return n
}

func (l *level[T]) shut() {
	l.closed = true
	for _, d := range l.dirs {
		d.shut()
	}
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

func (p *part) shut() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
	p.fd = -1
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

func (p *part) climb(below int) bool {
	fd, err := unix.Openat(below, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || (fileID{st.Dev, st.Ino}) != p.id {
		_ = unix.Close(fd)
		return false
	}
	p.fd = fd
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

// shownPath is how much of a path an error tells, in bytes.
const shownPath = 1024

// beginning is a path for an error, or what it begins with.
func beginning(path string) string { return begin(path, shownPath) }

func begin(path string, length int) string {
	if len(path) <= length {
		return path
	}
	return path[:length] + "..."
}

// ErrTooLong says that a layer cannot hold a path. It is errdefs' ErrConflict.
var ErrTooLong = errdefs.ErrConflict.WithMessage("path too long for a layer")

// tooLongShown is how much is told of such a path, in bytes.
const tooLongShown = 200

// tooLong refuses a path of that length, of which at least the beginning is given.
func tooLong(path string, length int) error {
	return fmt.Errorf("%q: a path of %d bytes can be reached step by step, but a layer holds paths of up to %d only, which can be unpacked: move or remove it: %w: %w", begin(path, tooLongShown), length, maxPath-1, ErrTooLong, unix.ENAMETOOLONG)
}
