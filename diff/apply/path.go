package apply

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// maxLinks is how many symbolic links one name may lead through, as in the
// kernel.
const maxLinks = 40

// folder is an open directory in the target.
type folder struct {
	fd   int    // O_PATH
	path string // from the root, which is "", without links
	// defaults says that new files in it would inherit an access control list.
	defaults bool
}

// join is the path of a name in the folder.
func (f folder) join(name string) string { return path.Join(f.path, name) }

// parent opens a directory, which it makes if need be. It stays open until the
// next call: entries in a row are mostly in the same one. The times that it has
// now are what it gets back in the end.
func (a *applier) parent(dir string) (folder, error) {
	if a.at.fd >= 0 && a.asked == dir && !a.stale {
		return a.at, nil
	}
	at, err := a.open(dir, true)
	if err != nil {
		return folder{}, fmt.Errorf("open directory %q: %w", dir, err)
	}
	if a.at.fd >= 0 {
		_ = unix.Close(a.at.fd)
	}
	a.at, a.asked, a.stale = at, dir, false
	if a.at.defaults, err = hasDefaultACL(at.fd); err != nil {
		return folder{}, err
	}
	return a.at, a.touch(a.at)
}

// open opens a directory of the target as if that were the root: no name and no
// link leads out of it. It is for the caller to close.
func (a *applier) open(dir string, create bool) (folder, error) {
	dir = strings.Trim(dir, "/")
	if fd, err := openBeneath(a.root, dir); err == nil {
		return folder{fd: fd, path: dir}, nil
	}
	// There is a link in it, or something is missing, or not a directory.
	w := &pathWalk{a: a, at: folder{fd: -1}, todo: strings.Split(dir, "/"), create: create}
	return w.run()
}

// openBeneath opens a directory by a path without links.
func openBeneath(root int, dir string) (int, error) {
	if dir == "" {
		dir = "."
	}
	return tree.OpenAt2(root, dir, unix.O_PATH|unix.O_DIRECTORY)
}

// pathWalk resolves a path one name after the other.
type pathWalk struct {
	a      *applier
	at     folder
	todo   []string
	create bool
	links  int
}

func (w *pathWalk) run() (_ folder, err error) {
	if err := w.jump(""); err != nil {
		return folder{}, err
	}
	for len(w.todo) > 0 && err == nil {
		name := w.todo[0]
		w.todo = w.todo[1:]
		switch name {
		case "", ".":
		case "..":
			err = w.jump(parentOf(w.at.path))
		default:
			err = w.step(name)
		}
	}
	if err != nil {
		if w.at.fd >= 0 {
			_ = unix.Close(w.at.fd)
		}
		return folder{}, err
	}
	return w.at, nil
}

// parentOf is the path above; the root is above itself.
func parentOf(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}

// jump goes to a path that has been resolved.
func (w *pathWalk) jump(to string) error {
	fd, err := openBeneath(w.a.root, to)
	if err != nil {
		return err
	}
	w.move(folder{fd: fd, path: to})
	return nil
}

func (w *pathWalk) move(to folder) {
	if w.at.fd >= 0 {
		_ = unix.Close(w.at.fd)
	}
	w.at = to
}

// step goes to a name in the present directory.
func (w *pathWalk) step(name string) error {
	if len(w.at.path)+len(name) >= diff.MaxPath {
		return unix.ENAMETOOLONG
	}
	fd, err := tree.OpenAt2(w.at.fd, name, unix.O_PATH|unix.O_DIRECTORY)
	switch {
	case err == nil:
		w.move(folder{fd: fd, path: w.at.join(name)})
		return nil
	case errors.Is(err, unix.ENOENT) && w.create:
		return w.make(name, true)
	case !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP):
		return err
	}
	target, lerr := tree.ReadlinkAt(w.at.fd, name)
	if lerr != nil {
		return w.replaceMark(name, err)
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	w.todo = append(strings.Split(target, "/"), w.todo...)
	if path.IsAbs(target) {
		return w.jump("")
	}
	return nil
}

// replaceMark makes a directory where the layer said that something is gone:
// that was meant for what is below. Otherwise cause is the error.
func (w *pathWalk) replaceMark(name string, cause error) error {
	var st unix.Stat_t
	if err := unix.Fstatat(w.at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if !w.create || !w.a.opts.Overlay || !mark.IsWhiteout(&st) {
		return cause
	}
	if err := unix.Unlinkat(w.at.fd, name, 0); err != nil {
		return fmt.Errorf("replace mark: %w", err)
	}
	if err := w.make(name, false); err != nil {
		return err
	}
	return w.a.setOpaque(w.at.fd, ".")
}

// make makes a directory that the layer does not tell, and goes there. seen says
// that what is below at that name is not deleted.
func (w *pathWalk) make(name string, seen bool) error {
	if err := w.a.touch(w.at); err != nil {
		return err
	}
	if err := w.a.implied(w.at, name, seen); err != nil {
		return err
	}
	fd, err := tree.OpenAt2(w.at.fd, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	w.move(folder{fd: fd, path: w.at.join(name)})
	return nil
}
