package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// namesAtOnce bounds what the names of a directory take in memory, in bytes. One
// with more is read in several passes, each for the next names in order.
const namesAtOnce = 4 << 20

// nameCost is what a name takes beside its own bytes, about.
const nameCost = 24

func costOf(name string) int { return len(name) + nameCost }

// NameReader reads the names in one or more directories, each once and in the
// order of their bytes, in memory that does not grow with their number.
type NameReader struct {
	fds  []int
	also []string // names that count although no directory may have them
	buf  []byte
	last string // the greatest name returned so far
	more bool   // whether there may be names after last
	// Of the pass that goes on:
	names []string
	size  int    // of names
	limit string // if more, names from here on are for another pass
}

// NewNameReader reads the directories of fds, by way of buf, which others may
// use between calls; nil for one of its own.
func NewNameReader(fds []int, buf []byte) *NameReader {
	if buf == nil {
		buf = make([]byte, 32<<10)
	}
	return &NameReader{fds: fds, buf: buf, more: true}
}

// Next returns the next names in order, none when there are no more.
func (r *NameReader) Next() ([]string, error) {
	if !r.more {
		return nil, nil
	}
	r.names, r.size, r.more = nil, 0, false
	for _, fd := range r.fds {
		if err := r.pass(fd); err != nil {
			return nil, err
		}
	}
	for _, name := range r.also {
		r.add([]byte(name))
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
func (r *NameReader) pass(fd int) error {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
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
		r.take(r.buf[:n])
		if r.size > 2*namesAtOnce {
			r.least()
		}
	}
}

// take adds the names of a piece of a directory. It makes strings only of those
// that are kept: a directory of millions is read many times.
func (r *NameReader) take(dirents []byte) {
	const lengthAt, nameAt = 16, 19 // in struct linux_dirent64, getdents64(2)
	for len(dirents) > nameAt {
		length := int(binary.NativeEndian.Uint16(dirents[lengthAt:]))
		if length <= nameAt || length > len(dirents) {
			return
		}
		name := dirents[nameAt:length]
		dirents = dirents[length:]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if string(name) != "." && string(name) != ".." {
			r.add(name)
		}
	}
}

// add keeps a name that this pass is to return.
func (r *NameReader) add(name []byte) {
	if string(name) > r.last && (!r.more || string(name) < r.limit) {
		r.names = append(r.names, string(name))
		r.size += len(name) + nameCost
	}
}

// least keeps the first names in order, without repetition.
func (r *NameReader) least() {
	slices.Sort(r.names)
	r.names = slices.Compact(r.names)
	r.size = 0
	for i, name := range r.names {
		r.size += costOf(name)
		if r.size > namesAtOnce {
			r.more, r.limit = true, name
			r.size -= costOf(name)
			clear(r.names[i:])
			r.names = r.names[:i]
			return
		}
	}
}
