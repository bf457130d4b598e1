package changes

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// tell reports a change of a name in the directory that the walk is in, after the
// directory.
func (w *walk) tell(kind Kind, e *tree.Entry) error {
	if err := w.report(); err != nil {
		return err
	}
	if kind != Deleted {
		if err := w.reserved(e.Name); err != nil {
			return err
		}
	}
	path, length := w.at.Join(e.Name)
	return w.emit(kind, e, len(w.at.Levels)-1, path, length)
}

// report tells the directories on the way that have not been told.
func (w *walk) report() error {
	levels := w.at.Levels
	i := len(levels) - 1
	for i > 0 && levels[i-1].Of.self != nil {
		i--
	}
	for ; i < len(levels); i++ {
		self := levels[i].Of.self
		if self == nil {
			continue
		}
		if err := w.at.Ensure(i - 1); err != nil {
			return err
		}
		path, length := w.at.PathOf(i)
		if err := w.named(path, self.Name); err != nil {
			return err
		}
		levels[i].Of.self = nil
		if err := w.emit(levels[i].Of.kind, self, i-1, path, length); err != nil {
			return err
		}
	}
	return nil
}

// emit visits a change of a name in a directory on the way.
func (w *walk) emit(kind Kind, e *tree.Entry, level int, path string, length int) error {
	if needs := length + markLength(kind); needs >= diff.MaxPath && !w.anyName && !w.shown {
		return diff.TooLong(path, length)
	}
	c := &Change{Kind: kind, Path: path, Stat: e.Stat, Length: length, view: w.view, old: w.old, dir: w.at.Levels[level].Of.whole, entry: e, at: &w.at.Levels[level].Of, in: w.at, level: level}
	w.stats.Changes++
	if c.Type() == unix.S_IFREG {
		w.stats.Bytes += e.Stat.Size
	}
	return w.visit(c)
}

// markLength is by how much a path is longer in a layer.
func markLength(kind Kind) int {
	if kind == Deleted {
		return len(diff.WhiteoutPrefix)
	}
	return 0
}

// reserved refuses names that a layer cannot hold.
func (w *walk) reserved(name string) error {
	path, _ := w.at.Join(name)
	return w.named(path, name)
}

func (w *walk) named(path, name string) error {
	if w.anyName || !diff.IsReserved(name) {
		return nil
	}
	return fmt.Errorf("%s: a name that begins with %q stands for a deletion in an image's layers, so the file cannot be part of one: rename or remove it: %w", text.Beginning(path), diff.WhiteoutPrefix, diff.ErrReserved)
}
