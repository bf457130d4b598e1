package tarlayer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/chunk"
)

// minSparse is the size from which on it pays to ask a file for its holes.
const minSparse = 256 << 10

// content writes the bytes of a regular file behind its header.
func (t *layerTar) content(s *source) error {
	var err error
	if s.st.Size >= minSparse && s.st.Blocks*512 < s.st.Size {
		err = t.sparse(s)
	} else {
		err = t.data(s, 0, s.st.Size)
	}
	if err != nil {
		return err
	}
	return s.unchanged() // since before it was opened
}

// unchanged fails if the open file is not what was there when s was taken.
func (s *source) unchanged() error {
	var now unix.Stat_t
	if err := unix.Fstat(s.fd, &now); err != nil {
		return fmt.Errorf("stat %q: %w", s.path, err)
	}
	// Not ctime: another name for a sealed file changes that, and is allowed.
	if now.Ino != s.st.Ino || now.Size != s.st.Size || now.Mtim != s.st.Mtim {
		return fmt.Errorf("%q: %w", s.path, diff.ErrChanged)
	}
	return nil
}

// sparse reads only what a file has; a tar stream carries the holes as zeros.
func (t *layerTar) sparse(s *source) error {
	for off := int64(0); off < s.st.Size; {
		data, err := unix.Seek(s.fd, off, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // no more data
			data = s.st.Size
		case errors.Is(err, unix.EINVAL): // file system without the call
			return t.data(s, off, s.st.Size)
		case err != nil:
			return fmt.Errorf("find data of %q: %w", s.path, err)
		}
		data = min(data, s.st.Size)
		if err := t.hole(data - off); err != nil {
			return fmt.Errorf("%q: %w", s.path, err)
		}
		if data == s.st.Size {
			return nil
		}
		end, err := unix.Seek(s.fd, data, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("find hole of %q: %w", s.path, changedIfShort(err))
		}
		off = min(end, s.st.Size)
		if err := t.data(s, data, off); err != nil {
			return err
		}
	}
	return nil
}

// changedIfShort explains that no hole was found: a file ends with one.
func changedIfShort(err error) error {
	if errors.Is(err, unix.ENXIO) {
		return diff.ErrChanged
	}
	return err
}

func (t *layerTar) hole(size int64) error {
	for size > 0 {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		n, err := t.tw.Write(chunk.Zeros[:min(size, chunk.Size)])
		if err != nil {
			return err
		}
		t.wrote(n)
		size -= int64(n)
	}
	return nil
}

// data writes a range of the file.
func (t *layerTar) data(s *source, from, to int64) error {
	if t.chunk == nil {
		t.chunk = chunk.Take()
	}
	for from < to {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		room := t.chunk[:min(to-from, chunk.Size)]
		n, err := unix.Pread(s.fd, room, from)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", s.path, err)
		}
		if n == 0 {
			return fmt.Errorf("%q has become shorter: %w", s.path, diff.ErrChanged)
		}
		if _, err := t.tw.Write(room[:n]); err != nil {
			return fmt.Errorf("write %q: %w", s.path, err)
		}
		t.wrote(n)
		from += int64(n)
	}
	return nil
}

func (t *layerTar) wrote(n int) {
	if t.opts.Wrote != nil {
		t.opts.Wrote(int64(n))
	}
}
