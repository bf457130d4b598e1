package tree

import (
	"fmt"

	"github.com/baleen-project/baleen/diff/internal/text"
)

// Ensure has a directory on the way open.
func (d *Descent[T]) Ensure(i int) error {
	if !d.Levels[i].closed {
		return nil
	}
	return d.descend(i)
}

// climb opens a directory by the one below it. It fails if that is not a part of
// each, as where layers differ or a directory was renamed.
func (d *Descent[T]) climb(i int) bool {
	l, below := &d.Levels[i], &d.Levels[i+1]
	if below.closed {
		return false
	}
	for view := range l.Dirs {
		if !l.Dirs[view].climb(below.Dirs[view]) {
			l.shut()
			return false
		}
	}
	d.opened(i)
	return true
}

// descend opens a directory by its names, from the next open one above.
func (d *Descent[T]) descend(i int) error {
	from := i
	for from > 0 && d.Levels[from].closed {
		from--
	}
	for at := from + 1; at <= i; at++ {
		l := &d.Levels[at]
		for view := range l.Dirs {
			if err := d.reopen(at, view); err != nil {
				l.shut()
				return fmt.Errorf("open %s again: %w", text.Beginning(string(d.path[:l.end])), err)
			}
		}
		d.opened(at)
	}
	return nil
}

func (d *Descent[T]) reopen(i, view int) error {
	to, above := d.Levels[i].Dirs[view], d.Levels[i-1].Dirs[view]
	if to == nil {
		return nil
	}
	again, err := d.opens[view](above, d.Name(i))
	if err != nil {
		return err
	}
	return to.take(again)
}

// opened notes that a directory is open again.
func (d *Descent[T]) opened(i int) {
	l := &d.Levels[i]
	l.closed = false
	d.open += l.descriptors()
	d.lowest = min(d.lowest, i)
	d.shut(i)
}

// shut closes directories far up until few enough are open: neither the root, nor
// the last two, nor i and the one above it.
func (d *Descent[T]) shut(i int) {
	last := len(d.Levels) - 1
	for at := d.lowest; d.open > openAtOnce && at < last-1; at++ {
		if at == i || at == i-1 {
			continue
		}
		if l := &d.Levels[at]; !l.closed {
			d.open -= l.descriptors()
			l.shut()
		}
		if at == d.lowest {
			d.lowest++
		}
	}
}

// openAtOnce is how many descriptors of directories a walk holds, besides those
// of the root, of the directory that it is in, and of the one above.
const openAtOnce = 64

func (l *Level[T]) descriptors() (n int) {
	for _, d := range l.Dirs {
		if d != nil {
			n += len(d.parts)
		}
	}
	return n
}

func (l *Level[T]) shut() {
	l.closed = true
	for _, d := range l.Dirs {
		d.shut()
	}
}
