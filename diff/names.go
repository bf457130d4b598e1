package diff

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// namesAtOnce bounds what the names of a directory take in memory, in bytes. One
// with more is read in several passes, each for the next names in order.
const namesAtOnce = 8 << 20

// nameCost is what a name takes beside its own bytes, about.
const nameCost = 24

// nameReader reads the names in one or more directories, each once and in the
// order of their bytes, in memory that does not grow with their number.
type nameReader struct {
	fds  []int
	buf  []byte
	last string // the greatest name returned so far
	more bool   // whether there may be names after last
	// Of the pass that goes on:
	names []string
	size  int    // of names
	limit string // if more, names from here on are for another pass
}

// newNameReader reads the directories of fds, by way of buf, which others may
// use between calls; nil for one of its own.
func newNameReader(fds []int, buf []byte) *nameReader {
	if buf == nil {
		buf = make([]byte, 32<<10)
	}
	return &nameReader{fds: fds, buf: buf, more: true}
}

// next returns the next names in order, none when there are no more.
func (r *nameReader) next() ([]string, error) {
	if !r.more {
		return nil, nil
	}
	r.names, r.size, r.more = nil, 0, false
	for _, fd := range r.fds {
		if err := r.pass(fd); err != nil {
			return nil, err
		}
	}
	r.least()
	names := r.names
	r.names = nil
	if len(names) > 0 {
		r.last = names[len(names)-1]
	}
	return names, nil
}

// pass reads one directory and adds its names after last.
func (r *nameReader) pass(fd int) error {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	var some []string
	for {
		n, err := unix.ReadDirent(fd, r.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
		if n == 0 {
			return nil
		}
		_, _, some = unix.ParseDirent(r.buf[:n], -1, some[:0])
		for _, name := range some {
			if name > r.last && (!r.more || name < r.limit) {
				r.names = append(r.names, name)
				r.size += len(name) + nameCost
			}
		}
		if r.size > 2*namesAtOnce {
			r.least()
		}
	}
}

// least keeps the first names in order, without repetition.
func (r *nameReader) least() {
	slices.Sort(r.names)
	r.names = slices.Compact(r.names)
	r.size = 0
	for i, name := range r.names {
		r.size += len(name) + nameCost
		if r.size > namesAtOnce {
			r.more, r.limit = true, name
			r.size -= len(name) + nameCost
			clear(r.names[i:])
			r.names = r.names[:i]
			return
		}
	}
}
