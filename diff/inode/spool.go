package inode

import (
	"errors"
	"io"
	"os"

	"github.com/containerd/errdefs"
)

// inMemory is how many bytes a spool holds in memory: enough for some 98,000 files in a
// Table, or as many names of usual length.
const inMemory = 4 << 20

// spool is a file of bytes that are zero until they are written: in memory while it is
// small, else a temporary file without a name.
type spool struct {
	mem  []byte
	file *os.File
}

// size makes room for that many bytes.
func (s *spool) size(bytes int64) error {
	switch {
	case s.file != nil:
		return nil // it grows when it is written, and holes are read as zeros
	case bytes > inMemory:
		return s.spill(bytes)
	case int64(len(s.mem)) < bytes:
		s.mem = append(s.mem, make([]byte, bytes-int64(len(s.mem)))...)
	}
	return nil
}

// spill moves what is in memory to a temporary file.
func (s *spool) spill(bytes int64) error {
	file, err := os.CreateTemp("", "baleen-inodes-")
	if err != nil {
		return failed("keep", err)
	}
	if err = os.Remove(file.Name()); err == nil {
		err = file.Truncate(bytes)
	}
	if err == nil && len(s.mem) > 0 {
		_, err = file.WriteAt(s.mem, 0)
	}
	if err != nil {
		return failed("keep", errors.Join(err, file.Close()))
	}
	s.file, s.mem = file, nil
	return nil
}

// at returns the bytes at an offset, by way of buf if they are not in memory: fewer than
// asked for at the end.
func (s *spool) at(offset int64, buf []byte) ([]byte, error) {
	if s.file == nil {
		if offset > int64(len(s.mem)) {
			return nil, nil
		}
		return s.mem[offset:min(offset+int64(len(buf)), int64(len(s.mem)))], nil
	}
	n, err := s.file.ReadAt(buf, offset)
	if err != nil && err != io.EOF {
		return nil, failed("read", err)
	}
	return buf[:n], nil
}

// write puts bytes at an offset.
func (s *spool) write(offset int64, bytes []byte) error {
	if err := s.size(offset + int64(len(bytes))); err != nil {
		return err
	}
	if s.file == nil {
		copy(s.mem[offset:], bytes)
		return nil
	}
	if _, err := s.file.WriteAt(bytes, offset); err != nil {
		return failed("keep", err)
	}
	return nil
}

// failed makes an error of one about a temporary file. It does not wrap that: a walk
// would take its ENOENT for a file of the container that went meanwhile.
func failed(op string, err error) error {
	return errdefs.ErrInternal.WithMessage(op + " names of files in a temporary file: " + err.Error())
}

func (s *spool) close() error {
	s.mem = nil
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return file.Close()
}
