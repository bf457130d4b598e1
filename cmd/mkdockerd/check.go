package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
)

// errDoesNotFit is returned once everything has been said.
var errDoesNotFit = errors.New("the series does not fit")

// checkFits writes which patches of the series fit a version of Moby, or the tree in
// a folder, and returns an error if not all do, or if the tree's image service has a
// verb that nobody has judged.
func (m *maker) checkFits(ctx context.Context, what string, w io.Writer) error {
	dir, err := checked(ctx, m.line, what)
	if err != nil {
		return err
	}
	bad := 0
	for _, fit := range m.series.Check(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }) {
		word := "fits "
		if fit.Err != nil {
			word = "FAILS"
			bad++
		}
		if _, err := fmt.Fprintln(w, word, fit.Name); err != nil {
			return err
		}
		if fit.Err != nil {
			if _, err := fmt.Fprintf(w, "      %v\n", fit.Err); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%w %s: %d of the above failed", errDoesNotFit, what, bad)
	}
	return checkVerbs(&modtree.Tree{Pin: m.pin, Origin: dir})
}

// checked returns the folder with the files of what was named: a folder, or a
// version as the module proxy writes it ("v28.5.1+incompatible", "v2.0.0-beta.24"),
// with or without its ends, or as people write a pinned one ("29.8.1").
func checked(ctx context.Context, line engine.Line, what string) (string, error) {
	if info, err := os.Stat(what); err == nil && info.IsDir() {
		return what, checkMoby(what)
	} else if strings.ContainsRune(what, filepath.Separator) {
		return "", fmt.Errorf("check %s: no such folder", what)
	}
	pins, err := modtree.Releases(line)
	if err != nil {
		return "", err
	}
	for _, pin := range pins {
		if what == pin.Release {
			return pin.Download(ctx)
		}
	}
	version := "v" + strings.TrimPrefix(what, "v")
	if strings.HasSuffix(pins[0].Version, incompatible) && !strings.HasSuffix(version, incompatible) {
		version += incompatible
	}
	dir, err := modtree.DownloadUnpinned(ctx, line.Module(), version)
	if err != nil {
		return "", fmt.Errorf("check %s: want a folder or a version of engine %s, as its module writes them (%s); -engine chooses the other engine: %w",
			what, line, pins[0].Version, err)
	}
	return dir, nil
}

// incompatible ends the versions of a module that has no go.mod of its own.
const incompatible = "+incompatible"
