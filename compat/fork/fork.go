package fork

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// The folder's underscore keeps the go command from compiling these files as a
// package of this module: they belong to Moby's.
//
//go:embed all:28.5/_glue
var tree embed.FS

// Edit is one change to a file of Moby's tree.
type Edit struct {
	Name   string // what the change is for, a few words with dashes
	File   string // path in Moby's tree
	Anchor string // text that must stand in the file exactly once
	With   string // what takes its place
}

// Apply returns the file's text with the edit made.
func (e Edit) Apply(text []byte) ([]byte, error) {
	switch n := bytes.Count(text, []byte(e.Anchor)); n {
	case 1:
		return bytes.Replace(text, []byte(e.Anchor), []byte(e.With), 1), nil
	case 0:
		return nil, fmt.Errorf("edit %s: no anchor in %s: %q", e.Name, e.File, e.Anchor)
	default:
		return nil, fmt.Errorf("edit %s: anchor stands %d times in %s: %q", e.Name, n, e.File, e.Anchor)
	}
}

// Files returns every file that differs from Moby's: the edited ones, made
// from the text that original returns for a path, and the added ones. Adding a
// file that Moby has is an error.
func Files(original func(path string) ([]byte, error)) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, e := range Edits {
		text, ok := files[e.File]
		if !ok {
			var err error
			if text, err = original(e.File); err != nil {
				return nil, fmt.Errorf("edit %s: %w", e.Name, err)
			}
		}
		text, err := e.Apply(text)
		if err != nil {
			return nil, err
		}
		files[e.File] = text
	}
	added, err := Added()
	if err != nil {
		return nil, err
	}
	for path, text := range added {
		if _, err := original(path); err == nil {
			return nil, fmt.Errorf("add %s: Moby has a file of that name", path)
		}
		files[path] = text
	}
	return files, nil
}

// Added returns the files that are not Moby's at all, by path in its tree.
func Added() (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(tree, "28.5/_glue", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := tree.ReadFile(path)
		files[strings.TrimPrefix(path, "28.5/_glue/")] = text
		return err
	})
	return files, err
}
