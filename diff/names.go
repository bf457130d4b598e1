package diff

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// namesAtOnce bounds how many names of a directory are in memory. One with more
// is read in several passes, each for the next names in order.
const namesAtOnce = 16 << 10

// nameReader reads the names in one or more directories, each once and in the
// order of their bytes, in memory that does not grow with their number.
type nameReader struct {
	fds  []int
	buf  []byte
	last string // the greatest name returned so far
	more bool   // whether there may be names after last
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
	var names []string
	r.more = false
	for _, fd := range r.fds {
		var err error
		if names, err = r.pass(fd, names); err != nil {
			return nil, err
		}
	}
	names = r.least(names)
	if len(names) > 0 {
		r.last = names[len(names)-1]
	}
	return names, nil
}

// pass reads one directory and adds its names after last.
func (r *nameReader) pass(fd int, names []string) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	var some []string
	for {
		n, err := unix.ReadDirent(fd, r.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read directory: %w", err)
		}
		if n == 0 {
			return names, nil
		}
		_, _, some = unix.ParseDirent(r.buf[:n], -1, some[:0])
		for _, name := range some {
			if name > r.last {
				names = append(names, name)
			}
		}
		if len(names) > 2*namesAtOnce {
			names = r.least(names)
		}
	}
}

// least keeps the first names in order, without repetition.
func (r *nameReader) least(names []string) []string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > namesAtOnce {
		clear(names[namesAtOnce:])
		names = names[:namesAtOnce]
		r.more = true
	}
	return names
}
