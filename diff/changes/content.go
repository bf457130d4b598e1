package changes

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// OpenFile is a regular file that is open for reading.
type OpenFile struct {
	FD    int          // the caller closes it
	Stat  unix.Stat_t  // as it was when, or just before, it was opened
	Attrs []xattr.Attr // as of [Change.Xattrs]
	// Made says that the content is not that of a file of the container's, and lies on no
	// file system that could share it.
	Made bool

	mapIDs idmap.Func
}

// Now returns what the file is by now.
func (f *OpenFile) Now() (st unix.Stat_t, err error) {
	if err = unix.Fstat(f.FD, &st); err == nil {
		err = idmap.MapStat(&st, f.mapIDs)
	}
	return st, err
}

// Content opens a regular file and reads its attributes: what Open and Xattrs
// do, in fewer calls.
func (c *Change) Content() (_ OpenFile, err error) {
	if err := c.reach(); err != nil {
		return OpenFile{}, err
	}
	if c.text != nil {
		return c.made()
	}
	fd, err := tree.OpenRegular(c.entry.DirFD(), c.entry.Name)
	if err != nil {
		return OpenFile{}, fmt.Errorf("open %s: %w", c.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(&fs.PathError{Op: "read", Path: c.Path, Err: err}, unix.Close(fd))
		}
	}()
	content := OpenFile{FD: fd, Stat: c.Stat, mapIDs: c.view.MapOf(c.entry.Layer)}
	names, err := xattr.List(xattr.FD(fd))
	if err != nil || len(names) == 0 {
		return content, err
	}
	if content.Attrs, err = c.view.XattrsOf(xattr.FD(fd), names, c.entry.Layer); err != nil {
		return OpenFile{}, err
	}
	if slices.Contains(names, c.view.Prefix+"metacopy") {
		err = c.replace(&content)
	}
	return content, err
}

// replace puts the file's data, which lies in a layer below, in place of what
// has only its metadata.
func (c *Change) replace(content *OpenFile) error {
	data, err := c.view.OpenBelow(c.dir, c.entry)
	if err != nil {
		return err
	}
	defer data.Close()
	content.mapIDs = nil // it tells the data alone
	if err := unix.Fstat(int(data.Fd()), &content.Stat); err != nil {
		return err
	}
	return unix.Dup3(int(data.Fd()), content.FD, unix.O_CLOEXEC)
}

// Rewrite gives a regular file another content. It becomes a file of its own, if it has
// several names. The text must not be changed afterwards.
func (c *Change) Rewrite(content []byte) {
	c.text = append([]byte{}, content...)
	c.Stat.Size, c.Stat.Nlink = int64(len(content)), 1
}

// made is Content of a file that has another content.
func (c *Change) made() (_ OpenFile, err error) {
	fd, err := c.openText()
	if err != nil {
		return OpenFile{}, err
	}
	f := OpenFile{FD: fd, Made: true}
	if f.Attrs, err = c.view.Xattrs(c.entry); err == nil {
		err = unix.Fstat(fd, &f.Stat)
	}
	if err != nil {
		return OpenFile{}, errors.Join(&fs.PathError{Op: "read", Path: c.Path, Err: err}, unix.Close(fd))
	}
	return f, nil
}

// openText opens the content that was given to the file, in memory.
func (c *Change) openText() (int, error) {
	fd, err := unix.MemfdCreate("baleen", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", c.Path, err)
	}
	for at := 0; at < len(c.text) && err == nil; {
		var n int
		n, err = unix.Pwrite(fd, c.text[at:], int64(at))
		at += n
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("open %s: %w", c.Path, err), unix.Close(fd))
	}
	return fd, nil
}
