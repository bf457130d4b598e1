package snapshotter

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

const (
	// openLevels is how many directories of a descent are open at a time. Those
	// above are closed, and opened again from below.
	openLevels = 16
	// direntRoom is for the entries that are read from a directory at once, in
	// bytes.
	direntRoom = 8 << 10
	// toldPath is up to how many bytes of a path are kept, for errors: PATH_MAX of
	// linux/limits.h.
	toldPath = 4096
)

// entry is a name in a tree. The root's is ".".
type entry struct {
	dir  int // the descriptor of the directory that it is in
	name string
	st   unix.Stat_t
}

func (e *entry) isDir() bool { return e.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// descent walks a tree of any depth by descriptors. It takes a few words of memory
// for a level, and openLevels descriptors. Directories come before what is in
// them.
type descent struct {
	visit func(*entry) error
	// steady is for a tree that must be read as it was before it is changed, and
	// whose directories cannot be opened again where reading had stopped, as those
	// of a mounted overlay: each directory is read at once, and all stay open.
	steady bool

	levels []level
	path   []byte // from the root, as far as it is kept
}

// level is a directory on the way from the root.
type level struct {
	fd   int // -1 if it is closed
	id   inode
	at   int64  // where reading goes on
	rest []byte // that was read and not visited
	room []byte
	path int // length of its path
}

func (d *descent) walk(ctx context.Context, root string) error {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer d.close()
	top := entry{dir: fd, name: "."}
	if err := d.push(fd, &top.st); err != nil {
		return d.failure(".", err)
	}
	if err := d.visit(&top); err != nil {
		return d.failure(".", err)
	}
	for len(d.levels) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.step(); err != nil {
			return err
		}
	}
	return nil
}

// step visits one entry, or leaves a directory that has no more.
func (d *descent) step() error {
	last := &d.levels[len(d.levels)-1]
	name, err := last.next(d.steady)
	if err != nil {
		return d.failure(".", err)
	}
	if name == "" {
		return d.failure("..", d.leave())
	}
	e := entry{dir: last.fd, name: name}
	err = unix.Fstatat(e.dir, name, &e.st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		err = d.visit(&e)
	}
	if err == nil && e.isDir() {
		err = d.enter(&e)
	}
	return d.failure(name, err)
}

func (d *descent) enter(e *entry) error {
	fd, err := unix.Openat(e.dir, e.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if len(d.path) < toldPath {
		d.path = append(append(d.path, '/'), e.name...)
	}
	var st unix.Stat_t
	if err := d.push(fd, &st); err != nil {
		return err
	}
	if above := len(d.levels) - 1 - openLevels; !d.steady && above >= 0 {
		return d.levels[above].shut()
	}
	return nil
}

func (d *descent) push(fd int, st *unix.Stat_t) error {
	d.levels = append(d.levels, level{fd: fd, path: len(d.path)})
	if err := unix.Fstat(fd, st); err != nil {
		return err
	}
	d.levels[len(d.levels)-1].id = inode{st.Dev, st.Ino}
	return nil
}

// leave goes back to the directory above, which it opens again if it is closed.
func (d *descent) leave() error {
	last := d.levels[len(d.levels)-1]
	if at := len(d.levels) - 2; at >= 0 {
		if err := d.levels[at].reopen(last.fd); err != nil {
			return err
		}
		d.path = d.path[:d.levels[at].path]
	}
	d.levels = d.levels[:len(d.levels)-1]
	return last.shut()
}

func (d *descent) close() {
	for i := range d.levels {
		_ = d.levels[i].shut()
	}
}

func (d *descent) failure(name string, err error) error {
	if err == nil {
		return nil
	}
	told := "." + string(d.path) + "/" + name
	if len(d.path) >= toldPath {
		told = fmt.Sprintf(".%.*s…/%s, %d directories deep", 200, d.path, name, len(d.levels))
	}
	return fmt.Errorf("%q: %w", told, err)
}

func (l *level) shut() error {
	if l.fd < 0 {
		return nil
	}
	err := unix.Close(l.fd)
	l.fd, l.rest, l.room = -1, nil, nil
	return err
}

// reopen opens a directory from one that is in it.
func (l *level) reopen(below int) error {
	if l.fd >= 0 {
		return nil
	}
	fd, err := unix.Openat(below, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.fd = fd
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if (inode{st.Dev, st.Ino}) != l.id {
		return fmt.Errorf("a directory was moved meanwhile: %w", unix.ESTALE)
	}
	_, err = unix.Seek(fd, l.at, unix.SEEK_SET)
	return err
}

// next returns the next name; "" if there is none.
func (l *level) next(whole bool) (string, error) {
	for {
		if len(l.rest) == 0 {
			if err := l.read(whole); err != nil || len(l.rest) == 0 {
				return "", err
			}
		}
		// struct linux_dirent64, of getdents64(2).
		const offset, length, name = 8, 16, 19
		size := int(binary.NativeEndian.Uint16(l.rest[length:]))
		one := l.rest[:size]
		l.at, l.rest = int64(binary.NativeEndian.Uint64(one[offset:])), l.rest[size:]
		if text := unix.ByteSliceToString(one[name:]); text != "." && text != ".." {
			return text, nil
		}
	}
}

func (l *level) read(whole bool) error {
	if l.room == nil {
		l.room = make([]byte, direntRoom)
	}
	for {
		n, err := unix.Getdents(l.fd, l.room)
		if err != nil {
			return err
		}
		if !whole {
			l.rest = l.room[:n]
			return nil
		}
		if n == 0 {
			return nil
		}
		l.rest = append(l.rest, l.room[:n]...)
	}
}
