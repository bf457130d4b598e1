package diff

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// tell reports a change of a name in the directory that the walk is in, after the
// directory.
func (w *walk) tell(kind Kind, e *entry) error {
	if err := w.report(); err != nil {
		return err
	}
	if kind != Deleted {
		if err := w.reserved(e.name); err != nil {
			return err
		}
	}
	path, length := w.at.join(e.name)
	return w.emit(kind, e, len(w.at.levels)-1, path, length)
}

// report tells the directories on the way that have not been told.
func (w *walk) report() error {
	levels := w.at.levels
	i := len(levels) - 1
	for i > 0 && levels[i-1].of.self != nil {
		i--
	}
	for ; i < len(levels); i++ {
		self := levels[i].of.self
		if self == nil {
			continue
		}
		if err := w.at.ensure(i - 1); err != nil {
			return err
		}
		path, length := w.at.pathOf(i)
		if err := w.named(path, self.name); err != nil {
			return err
		}
		levels[i].of.self = nil
		if err := w.emit(levels[i].of.kind, self, i-1, path, length); err != nil {
			return err
		}
	}
	return nil
}

// emit visits a change of a name in a directory on the way.
func (w *walk) emit(kind Kind, e *entry, level int, path string, length int) error {
	if needs := length + markLength(kind); needs >= maxPath && !w.anyName && !w.shown {
		return tooLong(path, length)
	}
	c := &Change{Kind: kind, Path: path, Stat: e.stat, Length: length, view: w.view, dir: w.at.levels[level].of.whole, entry: e, at: &w.at.levels[level].of, in: w.at, level: level}
	w.stats.Changes++
	if c.Type() == unix.S_IFREG {
		w.stats.Bytes += e.stat.Size
	}
	return w.visit(c)
}

// markLength is by how much a path is longer in a layer.
func markLength(kind Kind) int {
	if kind == Deleted {
		return len(whiteoutPrefix)
	}
	return 0
}

// reserved refuses names that a layer cannot hold.
func (w *walk) reserved(name string) error {
	path, _ := w.at.join(name)
	return w.named(path, name)
}

func (w *walk) named(path, name string) error {
	if w.anyName || !IsReserved(name) {
		return nil
	}
	return fmt.Errorf("%s: a name that begins with %q stands for a deletion in an image's layers, so the file cannot be part of one: rename or remove it: %w", beginning(path), whiteoutPrefix, ErrReserved)
}
