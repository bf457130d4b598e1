package blobs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// fileBuffers is how many pieces of a blob may wait to be written.
const fileBuffers = 4

// file is a blob in the folder of blobs. It has no name until it is whole, so
// nothing of it is left if it is never given one.
type file struct {
	folder, file *os.File

	chunk []byte // that is being filled
	size  int64
	made  int // buffers

	// The file is written by a goroutine of its own, so that a second processor can
	// do it. There is none before the first piece is full.
	full    chan []byte
	free    chan []byte
	written chan error // what became of all pieces, when there are no more
	failed  chan error // the first failure; of size 1
}

// errRefused says that a blob cannot be placed, and is to be sent.
type errRefused struct{ why error }

func (e errRefused) Error() string { return e.why.Error() }
func (e errRefused) Unwrap() error { return e.why }

// newFile makes a file in a folder.
func newFile(folder string) (*file, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o400)
	if err != nil {
		_ = dir.Close() // nothing was written
		return nil, &os.PathError{Op: "make a file without a name in", Path: folder, Err: err}
	}
	return &file{folder: dir, file: os.NewFile(uintptr(fd), folder+"/(no name)"), failed: make(chan error, 1)}, nil
}

// Write takes a piece of the blob. It may return before the piece is written.
func (f *file) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), Chunk-len(f.chunk))
		f.chunk = append(f.chunk, p[:n]...)
		p, written = p[n:], written+n
		if len(f.chunk) == Chunk {
			if err := f.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// flush gives the piece to be written, and takes a buffer for the next.
func (f *file) flush() error {
	if f.full == nil {
		f.full, f.free, f.written = make(chan []byte, fileBuffers), make(chan []byte, fileBuffers), make(chan error, 1)
		go f.run(f.full)
	}
	select {
	case err := <-f.failed:
		f.failed <- err
		return err
	default:
	}
	f.size += int64(len(f.chunk))
	f.full <- f.chunk
	f.chunk = nil
	select {
	case f.chunk = <-f.free:
	default:
		if f.made++; f.made >= fileBuffers {
			f.chunk = <-f.free
		}
	}
	return nil
}

// run writes the pieces that come until there are no more. It may begin only when wait has
// ended them.
func (f *file) run(full <-chan []byte) {
	var failure error
	for chunk := range full {
		if failure == nil {
			if _, failure = f.file.Write(chunk); failure != nil {
				f.failed <- failure
			}
		}
		f.free <- chunk[:0]
	}
	f.written <- failure
}

// wait waits until all pieces are written.
func (f *file) wait() error {
	if f.full == nil {
		return nil
	}
	close(f.full)
	f.full = nil
	return <-f.written
}

// finish puts the blob on disk. It must have size bytes.
func (f *file) finish(size int64) error {
	if err := f.wait(); err != nil {
		return fmt.Errorf("write blob: %w", err)
	}
	if _, err := f.file.Write(f.chunk); err != nil {
		return fmt.Errorf("write blob: %w", err)
	}
	f.size += int64(len(f.chunk))
	f.chunk = nil
	if f.size != size {
		return fmt.Errorf("a blob of %d bytes has been described as one of %d: %w", f.size, size, errdefs.ErrDataLoss)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("sync blob: %w", err)
	}
	if err := f.file.Chmod(0o444); err != nil { // as containerd does
		return errRefused{err}
	}
	return nil
}

// name gives the blob the name of its digest, which [file.syncName] puts on disk. A blob
// that has the name already is the same one, and whole: none gets it before. One of another
// size was damaged since, and containerd would take it even so: that is
// errdefs.ErrDataLoss.
func (f *file) name(dgst digest.Digest) error {
	if dgst.Algorithm() != digest.Canonical {
		return errRefused{fmt.Errorf("digest %s: %w", dgst, errdefs.ErrNotImplemented)}
	}
	path := f.folder.Name() + "/" + dgst.Encoded()
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.file.Fd()), int(f.folder.Fd()), dgst.Encoded(), unix.AT_SYMLINK_FOLLOW)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EEXIST):
		return errRefused{&os.PathError{Op: "link", Path: path, Err: err}}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(f.folder.Fd()), dgst.Encoded(), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil //nolint:nilerr // it is gone again: containerd says so
	}
	if st.Size != f.size {
		return fmt.Errorf("%s is damaged: it has %d bytes instead of %d: %w", path, st.Size, f.size, errdefs.ErrDataLoss)
	}
	return nil
}

// syncName puts the name on disk.
func (f *file) syncName() error {
	if err := f.folder.Sync(); err != nil {
		return fmt.Errorf("sync the folder of blobs: %w", err)
	}
	return nil
}

// hasName reports whether the blob still has the name that it was given.
func (f *file) hasName() bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.file.Fd()), &st) == nil && st.Nlink > 0
}

// copyTo writes the blob, which is whole, to w.
func (f *file) copyTo(w io.Writer) error {
	_, err := io.CopyBuffer(w, io.NewSectionReader(f.file, 0, f.size), make([]byte, min(max(f.size, 1), Chunk)))
	return err
}

// close ends the writing. A blob without a name is gone then.
func (f *file) close() {
	_ = f.wait() // who needs the blob has asked
	_ = f.file.Close()
	_ = f.folder.Close()
}
