package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// measure walks a folder. A file with several names counts once. What vanishes
// meanwhile, as in a running container, does not count; the container cannot
// lead the walk elsewhere by a link.
func measure(ctx context.Context, folder string) (snapshots.Usage, error) {
	m := meter{ctx: ctx, linked: map[uint64]bool{}}
	dir, err := unix.Open(folder, dirFlags, 0)
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	var st unix.Stat_t
	if err == nil {
		if err = unix.Fstat(dir, &st); err != nil {
			_ = unix.Close(dir)
		}
	}
	if err == nil {
		m.count(&st)
		err = m.walk(dir, folder)
	}
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("measure %s: %w", folder, err)
	}
	return m.usage, nil
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

type meter struct {
	ctx    context.Context
	usage  snapshots.Usage
	linked map[uint64]bool // inodes with several names that were counted
}

func (m *meter) count(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if m.linked[st.Ino] {
			return
		}
		m.linked[st.Ino] = true
	}
	m.usage.Inodes++
	m.usage.Size += st.Blocks * 512 // the unit of st_blocks, see stat(2)
}

// walk counts what is in a directory, and closes it.
func (m *meter) walk(fd int, path string) error {
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil && !errors.Is(err, unix.ENOENT) { // removed since it was opened
		return err
	}
	for _, name := range names {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		if err := m.entry(fd, path, name); err != nil {
			return err
		}
	}
	return nil
}

func (m *meter) entry(dir int, path, name string) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: path + "/" + name, Err: err}
	}
	m.count(&st)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd, err := unix.Openat(dir, name, dirFlags, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil // it is another by now
	case err != nil:
		return &os.PathError{Op: "open", Path: path + "/" + name, Err: err}
	}
	return m.walk(fd, path+"/"+name)
}
