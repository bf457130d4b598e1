package modtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const (
	// sourceMark names what a tree was copied from. It is empty until that is
	// done, so a copy that was cut short is made again.
	sourceMark = ".baleen-source"
	// syncMark lists the files that Sync last wrote, one per line.
	syncMark = ".baleen-synced"
)

// Tree is a writable copy of a pinned module.
type Tree struct {
	Pin    Pin
	Dir    string // the copy
	Origin string // the module cache's folder, never written
}

// Open returns the tree of a pinned module in dir, and copies it there first
// unless it has been.
func Open(ctx context.Context, pin Pin, dir string) (*Tree, error) {
	origin, err := pin.Download(ctx)
	if err != nil {
		return nil, err
	}
	t := &Tree{Pin: pin, Dir: dir, Origin: origin}
	want := pin.Module + "@" + pin.Version + " " + pin.Sum
	if have, err := os.ReadFile(filepath.Join(dir, sourceMark)); err == nil && string(have) == want {
		return t, nil
	}
	return t, t.copyOrigin(want)
}

// copyOrigin makes the tree a fresh copy of its origin, and marks it as such when the
// copy is complete.
func (t *Tree) copyOrigin(mark string) error {
	if err := clearTree(t.Dir); err != nil {
		return err
	}
	if err := CopyFiles(t.Origin, t.Dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.Dir, sourceMark), []byte(mark), 0o644); err != nil {
		return fmt.Errorf("mark build folder %s: %w", t.Dir, err)
	}
	return nil
}

// clearTree removes what is left of a tree, and makes the folder with a mark
// that it is to become one. It touches nothing that is not a tree.
func clearTree(dir string) error {
	mark := filepath.Join(dir, sourceMark)
	_, err := os.Lstat(mark)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists and was not made by this program: %w", dir, errors.Join(err, fs.ErrExist))
		}
	} else if err != nil {
		return fmt.Errorf("look for %s: %w", mark, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear build folder %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o644)
}

// Sync makes the tree the module plus the given files, by path relative to
// its root. Files of an earlier Sync that are not named any more get back the
// module's own text, or go if the module never had them. A file that holds
// the right text already keeps its time stamp.
func (t *Tree) Sync(files map[string][]byte) error {
	previous, err := t.synced()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	// The list is written before the files: a run cut short leaves too long a
	// list, which costs nothing, never one that forgets an edited file.
	all := strings.Join(append(previous, names...), "\n")
	if err := os.WriteFile(filepath.Join(t.Dir, syncMark), []byte(all), 0o644); err != nil {
		return err
	}
	for _, name := range previous {
		if _, ok := files[name]; ok {
			continue
		}
		if err := t.restore(name); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := writeIfChanged(filepath.Join(t.Dir, name), files[name]); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(t.Dir, syncMark), []byte(strings.Join(names, "\n")), 0o644)
}

// Original returns the module's own text of a file.
func (t *Tree) Original(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(t.Origin, name))
}

func (t *Tree) synced() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(t.Dir, syncMark))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text)), nil
}

func (t *Tree) restore(name string) error {
	text, err := t.Original(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(filepath.Join(t.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(t.Dir, name), text)
}

func writeIfChanged(path string, text []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// CopyFiles copies the regular files of a module, which holds nothing else, or of
// another source tree, so that they can be written. It leaves out vendor/, whose
// packages come through the module cache, and .git/.
func CopyFiles(src, dst string) error {
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		switch {
		case d.IsDir() && (rel == "vendor" || rel == ".git"):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular() || rel == ".git":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, info.Mode().Perm()|0o200)
	})
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", src, dst, err)
	}
	return nil
}
