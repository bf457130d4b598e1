package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/internal/chunk"
)

// holeSize is the shortest run of zeros that becomes a hole, at a multiple of
// itself.
const holeSize = 64 << 10

// largeFile is the size, in bytes, of files that get it first: it may be more than
// their file system allows.
const largeFile = 1 << 30

// fill writes size bytes of content into a new file, and leaves holes where
// there are only zeros.
func (a *applier) fill(fd int, content io.Reader, size int64) error {
	switch content := content.(type) {
	case sparseContent:
		return a.fillSparse(fd, content, size)
	case *os.File:
		return a.fillFrom(fd, content, size)
	}
	if size >= largeFile {
		if err := setSize(fd, size); err != nil {
			return err
		}
	}
	hole := false // at the end so far
	for off := int64(0); off < size; {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		piece := a.chunk[:min(size-off, chunk.Size)]
		if _, err := io.ReadFull(content, piece); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return a.badStream(err)
		}
		var err error
		if hole, err = writeSparse(fd, piece, off); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		off += int64(len(piece))
	}
	if !hole {
		return nil
	}
	return setSize(fd, size)
}

// writeSparse writes data, of which off is a multiple of holeSize, and reports
// whether it ends in a hole.
func writeSparse(fd int, data []byte, off int64) (hole bool, err error) {
	from, to := 0, 0 // what is due
	for to < len(data) {
		end := min(to+holeSize, len(data))
		hole = end-to == holeSize && bytes.Equal(data[to:end], chunk.Zeros[:holeSize])
		if !hole {
			to = end
			continue
		}
		if err := pwriteAll(fd, data[from:to], off+int64(from)); err != nil {
			return false, err
		}
		from, to = end, end
	}
	return hole, pwriteAll(fd, data[from:to], off+int64(from))
}

func pwriteAll(fd int, data []byte, off int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}
