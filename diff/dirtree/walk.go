package dirtree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Entry is what a walk of a tree meets. It is valid only during the call that
// it is handed to.
type Entry struct {
	Dir  int    // the open directory that has it; the root itself for the root
	Name string // in there; "." for the root
	Stat unix.Stat_t
	path func() string
}

// IsDir reports whether it is a directory.
func (e *Entry) IsDir() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// Path is its path from the root for people: if it is long, what it begins with.
func (e *Entry) Path() string { return e.path() }

// Tree is a directory tree that is no overlay's. It may be of any depth and size,
// and somebody may be changing it: it is walked by descriptors, of which about 64
// are open. No link is followed, and nothing is entered that is mounted in it.
type Tree struct {
	Root string
	// Whole says that what is mounted in it gives ErrUnsupported. Otherwise that is
	// visited, and not left.
	Whole bool
	// Gone says that what goes meanwhile does not count. Otherwise it gives
	// ErrChanged.
	Gone bool
	// Visit is called for the root and all below it, with names in the order of
	// their bytes, a directory before what is in it.
	Visit func(*Entry) error
	// Leave, if not nil, is called for each directory after what is in it. Its Stat
	// is that of the visit.
	Leave func(*Entry) error
}

// Walk walks the tree.
func (t Tree) Walk(ctx context.Context) error {
	fd, err := unix.Open(t.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: t.Root, Err: err}
	}
	if err := t.WalkFrom(ctx, fd); err != nil {
		return fmt.Errorf("walk %s: %w", t.Root, err)
	}
	return nil
}

// WalkFrom is Walk for an open directory, which it closes, in the place of Root.
func (t Tree) WalkFrom(ctx context.Context, fd int) error {
	root, err := tree.OpenedDir(fd)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	w := &treeWalk{Tree: t, way: tree.NewDescent[unix.Stat_t](tree.OpenPlain)}
	defer w.way.Close()
	w.way.Push("", unix.Stat_t{}, root)
	return w.run(ctx)
}

type treeWalk struct {
	Tree
	way *tree.Descent[unix.Stat_t]
}

func (w *treeWalk) run(ctx context.Context) error {
	root := w.way.Top()
	if err := unix.Fstat(root.Dirs[0].FD(), &root.Of); err != nil {
		return err
	}
	if err := w.Visit(w.entry(".", root.Of)); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, ok, err := w.way.Next(w.way.First)
		switch {
		case err != nil:
			path, _ := w.way.PathOf(len(w.way.Levels) - 1)
			err = &fs.PathError{Op: "read", Path: text.Beginning(path), Err: err}
		case ok:
			err = w.name(name)
		case len(w.way.Levels) == 1:
			return w.left(".", w.way.Top().Of)
		default:
			err = w.leave()
		}
		if err = tree.Raced(err); err != nil && (!w.Gone || !errors.Is(err, diff.ErrChanged)) {
			return err
		}
	}
}

func (w *treeWalk) entry(name string, st unix.Stat_t) *Entry {
	return &Entry{w.way.Top().Dirs[0].FD(), name, st, func() string {
		path, _ := w.way.Join(name)
		return text.Beginning(path)
	}}
}

// name visits one name of the directory that the walk is in, and goes down into a
// directory.
func (w *treeWalk) name(name string) error {
	at := w.way.Top().Dirs[0]
	var st unix.Stat_t
	if err := unix.Fstatat(at.FD(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.failed("stat", name, err)
	}
	e := w.entry(name, st)
	if err := w.Visit(e); err != nil || !e.IsDir() {
		return err
	}
	sub, err := tree.OpenPlain(at, name)
	if errors.Is(err, diff.ErrUnsupported) && !w.Whole {
		return nil // a mount, which is another tree
	}
	if err != nil {
		return w.failed("open", name, err)
	}
	w.way.Push(name, st, sub)
	return nil
}

func (w *treeWalk) failed(op, name string, err error) error {
	path, _ := w.way.Join(name)
	return fmt.Errorf("%s %s: %w", op, text.Beginning(path), err)
}

// leave goes back to the directory above, or to the next one that is still there.
func (w *treeWalk) leave() error {
	for {
		name, st := w.way.Name(len(w.way.Levels)-1), w.way.Top().Of
		err := tree.Raced(w.way.Pop())
		if err == nil {
			return w.left(name, st)
		}
		if !w.Gone || !errors.Is(err, diff.ErrChanged) {
			return err
		}
	}
}

func (w *treeWalk) left(name string, st unix.Stat_t) error {
	if w.Leave == nil {
		return nil
	}
	return w.Leave(w.entry(name, st))
}
