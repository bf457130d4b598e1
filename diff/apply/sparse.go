package apply

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// paxSparse begins the records of a sparse file in GNU tar's PAX formats, 0.0 to 1.0.
const paxSparse = "GNU.sparse."

// sparseContent is the content of a sparse entry: data, and holes that the stream only
// has the sizes of. [tar.Reader.Read] would give them as zeros.
type sparseContent struct {
	io.Reader // with holes as zeros
	data      io.WriterTo
}

// contentOf returns the content of the present entry of a stream.
func contentOf(tr *tar.Reader, hdr *tar.Header) io.Reader {
	if !isSparse(hdr) {
		return tr
	}
	data, ok := writerTo(tr)
	if !ok {
		return tr
	}
	return sparseContent{tr, data}
}

func isSparse(hdr *tar.Header) bool {
	if hdr.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, paxSparse) {
			return true
		}
	}
	return false
}

// writerTo returns what archive/tar itself has to write the content of an entry to a
// file: it seeks over holes. Its method for that waits to be exported
// (golang.org/issue/22735); until then a hole costs its size if this fails, and
// [diff.Limit] bounds it.
func writerTo(tr *tar.Reader) (io.WriterTo, bool) {
	field := reflect.ValueOf(tr).Elem().FieldByName("curr")
	if !field.IsValid() {
		return nil, false
	}
	w, ok := reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Interface().(io.WriterTo)
	return w, ok
}

// fillSparse writes the data of a sparse entry into a new file of its size.
func (a *applier) fillSparse(fd int, content sparseContent, size int64) error {
	if err := setSize(fd, size); err != nil {
		return err
	}
	n, err := content.data.WriteTo(&sparseFile{a: a, fd: fd})
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	var failed *writeError
	if err != nil && !errors.As(err, &failed) {
		err = a.badStream(err)
	}
	return err
}

// setSize gives a new file its size at once, if only to hear that its file system
// has no files so large.
func setSize(fd int, size int64) error {
	if err := unix.Ftruncate(fd, size); err != nil {
		return fmt.Errorf("make it %d bytes large: %w", size, err)
	}
	return nil
}

// sparseFile is a new file, full of holes, for data to be written into it.
type sparseFile struct {
	a   *applier
	fd  int
	off int64
}

// writeError is a failure to write, where one to read is to be told from it.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// Seek moves on from where the file is written; [tar.Reader] asks for nothing else.
func (f *sparseFile) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, os.ErrInvalid
	}
	f.off += offset
	return f.off, nil
}

func (f *sparseFile) Write(p []byte) (int, error) {
	if len(p) == 1 && p[0] == 0 { // the end of a hole, for a size that the file has
		f.off++
		return 1, nil
	}
	if _, err := writeSparse(f.fd, p, f.off); err != nil {
		return 0, &writeError{fmt.Errorf("write: %w", err)}
	}
	f.off += int64(len(p))
	return len(p), nil
}

// ReadFrom writes data in pieces that are large enough to find holes in them.
func (f *sparseFile) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if err := f.a.ctx.Err(); err != nil {
			return n, err
		}
		m, err := fill(r, f.a.chunk)
		if _, werr := f.Write(f.a.chunk[:m]); werr != nil {
			return n, werr
		}
		n += int64(m)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// fillFrom copies the data of a file into a new one, and no holes.
func (a *applier) fillFrom(fd int, from *os.File, size int64) error {
	if err := setSize(fd, size); err != nil {
		return err
	}
	src := int(from.Fd())
	to := &sparseFile{a: a, fd: fd}
	for to.off < size {
		data, err := unix.Seek(src, to.off, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // no more data
			return nil
		case errors.Is(err, unix.EINVAL): // file system without the call
			data, err = to.off, nil
		}
		if err != nil {
			return fmt.Errorf("find data: %w", err)
		}
		end, err := unix.Seek(src, data, unix.SEEK_HOLE)
		if err != nil {
			end = size
		}
		to.off = data
		if _, err := to.ReadFrom(io.NewSectionReader(from, data, min(end, size)-data)); err != nil {
			return err
		}
		if to.off < min(end, size) {
			return fmt.Errorf("%w: it became shorter", diff.ErrChanged)
		}
	}
	return nil
}
