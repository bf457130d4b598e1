package diff

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// whiteout takes a mark that says that a name is gone.
func (a *applier) whiteout(at folder, name string) error {
	if name == "" || name == "." || name == ".." {
		return invalid("a deletion of %q", name)
	}
	if a.deletes() {
		if _, err := a.prune(at, name, a.isPlaced); err != nil || !a.opts.Overlay {
			return err
		}
	}
	if a.opts.Over {
		// What is gone may have been an earlier layer's alone. In a directory that
		// has nothing below, or hides it, the kernel lists a mark as a name.
		shows, err := a.lookBelow(at.path, name, func(*dir, *entry) error { return nil })
		if err != nil || !shows {
			return err
		}
	}
	return a.markGone(at, name)
}

// markGone leaves a mark that a name is gone from below.
func (a *applier) markGone(at folder, name string) error {
	err := unix.Mknodat(at.fd, name, unix.S_IFCHR, 0)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("mark as deleted: %w", err)
	}
	// The layer has something of that name, which hides what is below unless
	// it is a directory.
	var st unix.Stat_t
	if err := unix.Fstatat(at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return a.setOpaque(at.fd, name)
}

// opaque takes the mark that says that nothing from below shows in a directory.
func (a *applier) opaque(at folder) error {
	if a.deletes() {
		if _, err := a.pruneAll(at, a.isPlaced); err != nil || !a.opts.Overlay {
			return err
		}
	}
	if at.path != "" {
		return a.setOpaque(at.fd, ".")
	}
	// The kernel heeds no such mark on the root.
	return a.lowerNames(func(name string) error { return a.whiteout(at, name) })
}

func (a *applier) setOpaque(at int, name string) error {
	if err := unix.Lsetxattr(procPath(at, name), a.marks+"opaque", []byte(opaqueYes), 0); err != nil {
		return fmt.Errorf("mark as opaque: %w", err)
	}
	return nil
}

// remove makes room for something else of that name, whoever made it.
func (a *applier) remove(at folder, name string) error {
	_, err := a.prune(at, name, func(string) bool { return false })
	return err
}

// look counts a file that a deletion may concern.
func (a *applier) look() error {
	if a.looks++; a.looks > looksPerEntry*a.opts.Limit.entries() {
		return fmt.Errorf("the deletions of the layer concern more than %d files%s: %w", a.looks-1, a.opts.Limit.hint(), ErrOverLimit)
	}
	return a.ctx.Err()
}

// prune removes what is under a name, but for paths that are to be spared, and
// the directories that those are in. It reports whether anything is left.
func (a *applier) prune(at folder, name string, spare func(path string) bool) (left bool, err error) {
	if err := a.look(); err != nil {
		return false, err
	}
	var st unix.Stat_t
	err = unix.Fstatat(at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("stat %q: %w", at.join(name), err)
	}
	left = spare(at.join(name))
	flags := 0
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
		inside, err := a.pruneDir(at, name, &st, spare)
		if err != nil {
			return false, err
		}
		left = left || inside
	}
	if left {
		return true, nil
	}
	// The open directory may have been found by way of this, be it a link.
	a.stale = true
	if err := unix.Unlinkat(at.fd, name, flags); err != nil {
		return false, fmt.Errorf("remove %q: %w", at.join(name), err)
	}
	return false, nil
}

// pruneDir prunes all that is in a directory. If something is left it keeps its
// times.
func (a *applier) pruneDir(at folder, name string, st *unix.Stat_t, spare func(path string) bool) (left bool, err error) {
	fd, err := openAt2(at.fd, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	inside := folder{fd: fd, path: at.join(name)}
	if left, err = a.pruneAll(inside, spare); err != nil {
		return false, err
	}
	if _, known := a.times[inside.path]; known || !left {
		return left, nil
	}
	return left, a.setTimes(inside.path, fileTimes{st.Atim, st.Mtim})
}

// pruneAll prunes all names in a directory.
func (a *applier) pruneAll(at folder, spare func(path string) bool) (left bool, err error) {
	fd, err := openDirAt(at.fd, ".")
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	names := newNameReader([]int{fd}, a.dirents())
	for {
		some, err := names.next()
		if err != nil || len(some) == 0 {
			return left, err
		}
		for _, name := range some {
			kept, err := a.prune(at, name, spare)
			if err != nil {
				return left, err
			}
			left = left || kept
		}
	}
}

// dirents is room for reading directories. All on the way down into a tree share it:
// a layer can have two thousand of them in one another.
func (a *applier) dirents() []byte {
	if a.room == nil {
		a.room = make([]byte, 32<<10)
	}
	return a.room
}
