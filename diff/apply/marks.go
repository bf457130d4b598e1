package apply

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// whiteout takes a mark that says that a name is gone.
func (a *applier) whiteout(at folder, name string) error {
	if name == "" || name == "." || name == ".." {
		return invalid("a deletion of %q", name)
	}
	if a.deletes() {
		if err := a.prune(at, name, a.isPlaced); err != nil || !a.opts.Overlay {
			return err
		}
	}
	if a.opts.Over {
		// What is gone may have been an earlier layer's alone. In a directory that
		// has nothing below, or hides it, the kernel lists a mark as a name.
		shows, err := a.lookBelow(at.path, name, func(*tree.Dir, *tree.Entry) error { return nil })
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
		if err := a.pruneAll(at, a.isPlaced); err != nil || !a.opts.Overlay {
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
	if err := unix.Lsetxattr(tree.ProcPath(at, name), a.marks+"opaque", []byte(mark.OpaqueYes), 0); err != nil {
		return fmt.Errorf("mark as opaque: %w", err)
	}
	return nil
}

// remove makes room for something else of that name, whoever made it.
func (a *applier) remove(at folder, name string) error {
	return a.prune(at, name, nil)
}

// look counts a file that a deletion may concern.
func (a *applier) look() error {
	if a.looks++; a.looks > looksPerEntry*a.opts.Limit.MaxEntries() {
		return fmt.Errorf("the deletions of the layer concern more than %d files%s: %w", a.looks-1, a.opts.Limit.Hint(), diff.ErrOverLimit)
	}
	return a.ctx.Err()
}

// spareFunc reports whether a path is to be spared. A nil one spares none.
type spareFunc func(path string) (bool, error)

// prune removes what is under a name, but for paths that are to be spared, and
// the directories that those are in.
func (a *applier) prune(at folder, name string, spare spareFunc) error {
	if err := a.look(); err != nil {
		return err
	}
	var st unix.Stat_t
	err := unix.Fstatat(at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stat %q: %w", at.join(name), err)
	}
	p := a.pruning(at, spare)
	if err := p.enter(name); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := p.inside(at.fd, name); err != nil {
			return err
		}
	}
	return p.leave(at.fd, name, &st)
}

// pruneAll prunes all names in a directory.
func (a *applier) pruneAll(at folder, spare spareFunc) error {
	return a.pruning(at, spare).inside(at.fd, ".")
}

// pruning is the removal of a tree, which may be of any depth.
type pruning struct {
	*applier
	spare spareFunc
	path  []byte // of what it is at
	way   []pruned
}

// pruned is a file, or a directory on the way to where a pruning is.
type pruned struct {
	above  int // length of the path above
	spared bool
	filled bool // whether anything in it stays
}

func (a *applier) pruning(at folder, spare spareFunc) *pruning {
	return &pruning{applier: a, spare: spare, path: []byte(at.path), way: []pruned{{}}}
}

// inside prunes all names in a directory.
func (p *pruning) inside(at int, name string) error {
	fd, err := tree.OpenDirAt(at, name)
	if err != nil {
		return err
	}
	return dirtree.Tree{
		Whole: true,
		Visit: func(e *dirtree.Entry) error {
			if e.Name == "." {
				return nil
			}
			if err := p.look(); err != nil {
				return err
			}
			if err := p.enter(e.Name); err != nil || e.IsDir() {
				return err
			}
			return p.leave(e.Dir, e.Name, &e.Stat)
		},
		Leave: func(e *dirtree.Entry) error {
			if e.Name == "." {
				return nil
			}
			return p.leave(e.Dir, e.Name, &e.Stat)
		},
	}.WalkFrom(p.ctx, fd)
}

func (p *pruning) enter(name string) (err error) {
	d := pruned{above: len(p.path)}
	if len(p.path) > 0 {
		p.path = append(p.path, '/')
	}
	p.path = append(p.path, name...)
	if p.spare != nil {
		d.spared, err = p.spare(string(p.path))
	}
	p.way = append(p.way, d)
	return err
}

// leave removes what was entered last, unless it is spared or something is in it. If
// something is, it keeps its times, which are in st.
func (p *pruning) leave(at int, name string, st *unix.Stat_t) error {
	d := p.way[len(p.way)-1]
	path := string(p.path)
	p.way, p.path = p.way[:len(p.way)-1], p.path[:d.above]
	if d.spared || d.filled {
		p.way[len(p.way)-1].filled = true
		if _, known := p.times[path]; known || !d.filled {
			return nil
		}
		return p.setTimes(path, fileTimes{st.Atim, st.Mtim})
	}
	flags := 0
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
	}
	// The open directory may have been found by way of this, be it a link.
	p.stale = true
	if err := unix.Unlinkat(at, name, flags); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// dirents is room for reading directories. All on the way down into a tree share it:
// a layer can have two thousand of them in one another.
func (a *applier) dirents() []byte {
	if a.room == nil {
		a.room = make([]byte, 32<<10)
	}
	return a.room
}
