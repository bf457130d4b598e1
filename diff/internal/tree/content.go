package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// OpenContent opens a regular file's data. It may lie in a layer below, under
// another name even: overlay can copy up a file's metadata alone (metacopy).
func (v *View) OpenContent(d *Dir, e *Entry) (*os.File, error) {
	_, bare, err := v.Mark(e.Path(), "metacopy")
	if err != nil {
		return nil, err
	}
	if bare {
		return v.OpenBelow(d, e)
	}
	fd, err := OpenRegular(e.DirFD(), e.Name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), e.Name), nil
}

// OpenBelow opens the data of a regular file that has only its metadata in its layer.
func (v *View) OpenBelow(d *Dir, e *Entry) (*os.File, error) {
	redirect, _, err := v.redirect(e.Path())
	if err != nil {
		return nil, err
	}
	at, name := d.below(e.Layer), e.Name
	switch {
	case path.IsAbs(redirect):
		if at, err = v.Descend(e.Layer+1, d.without, path.Dir(redirect)); err != nil {
			return nil, err
		}
		defer at.Close()
		name = path.Base(redirect)
	case redirect != "":
		name = redirect
	}
	found, ok, err := v.Lookup(at, name)
	if err != nil {
		return nil, err
	}
	if !ok || found.Stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%w: the data of a file is missing in the layers below", diff.ErrUnsupported)
	}
	return v.OpenContent(at, &found)
}

func (v *View) sameContent(ad *Dir, a *Entry, w *View, bd *Dir, b *Entry) (bool, error) {
	if a.Stat.Dev == b.Stat.Dev && a.Stat.Ino == b.Stat.Ino {
		return true, nil
	}
	x, err := v.OpenContent(ad, a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := w.OpenContent(bd, b)
	if err != nil {
		return false, err
	}
	defer y.Close()
	return v.sameBytes(x, y)
}

// sameBytes compares two files. Where both have a hole nothing is read.
func (v *View) sameBytes(x, y *os.File) (bool, error) {
	size, sparse, err := sizes(x, y)
	if err != nil || size < 0 {
		return false, err
	}
	xb, yb := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < size; {
		if v.Ctx != nil && v.Ctx.Err() != nil {
			return false, v.Ctx.Err()
		}
		if sparse {
			if off = min(NextData(int(x.Fd()), off, size), NextData(int(y.Fd()), off, size)); off >= size {
				return true, nil
			}
		}
		n, xerr := x.ReadAt(xb[:min(int64(len(xb)), size-off)], off)
		m, yerr := y.ReadAt(yb[:n], off)
		for _, err := range []error{xerr, yerr} {
			if err != nil && !errors.Is(err, io.EOF) {
				return false, err
			}
		}
		if n == 0 || n != m || !bytes.Equal(xb[:n], yb[:m]) { // or one became shorter
			return false, nil
		}
		off += int64(n)
	}
	return true, nil
}

// sizes returns the size that both files have, negative if they differ in it, and
// whether both may have holes.
func sizes(x, y *os.File) (size int64, sparse bool, err error) {
	var a, b unix.Stat_t
	if err := unix.Fstat(int(x.Fd()), &a); err != nil {
		return 0, false, err
	}
	if err := unix.Fstat(int(y.Fd()), &b); err != nil {
		return 0, false, err
	}
	if a.Size != b.Size {
		return -1, false, nil
	}
	return a.Size, a.Blocks*512 < a.Size && b.Blocks*512 < b.Size, nil
}

// NextData is where a file has data next, at or after an offset; it is the
// file's size if only a hole follows.
func NextData(fd int, at, size int64) int64 {
	next, err := unix.Seek(fd, at, unix.SEEK_DATA)
	switch {
	case err == nil:
		return next
	case errors.Is(err, unix.ENXIO):
		return size
	default:
		return at // a file system that does not tell
	}
}
