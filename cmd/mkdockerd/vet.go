package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
)

// errFindings is returned once every finding has been written.
var errFindings = errors.New("go vet has findings in the fork")

// vet runs go vet over the packages of the tree that hold a file of ours, and writes
// what it finds in our files and in the lines that patches add. Moby's tests are left
// out: what they import would have to be compiled.
func (m *maker) vet(ctx context.Context, t *modtree.Tree, w io.Writer) error {
	files, err := m.series.Files(t.Original)
	if err != nil {
		return err
	}
	overlay, err := m.withoutTests(t, packagesOf(files))
	if err != nil {
		return err
	}
	args := []string{"vet", "-json", "-tags", strings.Join(m.tags(), ","), "-overlay", overlay}
	for _, dir := range packagesOf(files) {
		args = append(args, "./"+dir)
	}
	cmd := goInTree(ctx, t, args...)
	var out bytes.Buffer // of both: which has the findings differs between versions of Go
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go vet in %s: %w\n%s", t.Dir, err, out.Bytes())
	}
	findings, err := parseFindings(&out)
	if err != nil {
		return fmt.Errorf("go vet in %s: %w", t.Dir, err)
	}
	bad := 0
	for _, f := range findings {
		ours, err := m.isOurs(t, f, files)
		if err != nil {
			return err
		}
		if ours {
			bad++
			if _, err := fmt.Fprintf(w, "%s: %s\n", f.Posn, f.Message); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%w: %d", errFindings, bad)
	}
	return nil
}

// packagesOf returns the folders of the Go files among these, sorted.
func packagesOf(files map[string][]byte) []string {
	dirs := map[string]bool{}
	for name := range files {
		if strings.HasSuffix(name, ".go") {
			dirs[filepath.Dir(name)] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// withoutTests writes the line's overlay with the tests of packages left out.
func (m *maker) withoutTests(t *modtree.Tree, dirs []string) (string, error) {
	o := overlay{Replace: map[string]string{}}
	line, err := m.writeOverlay()
	if err != nil {
		return "", err
	}
	if line != "" {
		text, err := os.ReadFile(line)
		if err != nil {
			return "", err
		}
		if err := json.Unmarshal(text, &o); err != nil {
			return "", fmt.Errorf("read overlay %s: %w", line, err)
		}
	}
	for _, dir := range dirs {
		tests, err := filepath.Glob(filepath.Join(t.Dir, dir, "*_test.go"))
		if err != nil {
			return "", err
		}
		for _, name := range tests {
			o.Replace[name] = "" // as if it were not there
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.build, "vet-overlay.json")
	return path, write(path, text)
}

// finding is what an analyzer says of a place.
type finding struct {
	Posn    string `json:"posn"` // "/file:line:column"
	Message string `json:"message"`
}

// parseFindings reads what go vet -json writes: objects by package and analyzer,
// between lines that begin with #.
func parseFindings(r io.Reader) (found []finding, _ error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var objects []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#")) {
			objects = append(objects, line...)
		}
	}
	d := json.NewDecoder(bytes.NewReader(objects))
	for {
		var packages map[string]map[string]json.RawMessage
		if err := d.Decode(&packages); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("read findings: %w\n%s", err, text)
		}
		for pkg, analyzers := range packages {
			for name, raw := range analyzers {
				var list []finding
				if err := json.Unmarshal(raw, &list); err != nil { // an object that says why it failed
					return nil, fmt.Errorf("analyzer %s of %s: %s", name, pkg, raw)
				}
				found = append(found, list...)
			}
		}
	}
}

// isOurs reports whether a finding is in a file of the glue or in a line that a patch
// has added or changed.
func (m *maker) isOurs(t *modtree.Tree, f finding, files map[string][]byte) (bool, error) {
	place := strings.Split(f.Posn, ":")
	if len(place) < 2 {
		return false, fmt.Errorf("finding at %q: no file and line", f.Posn)
	}
	name, err := filepath.Rel(t.Dir, place[0])
	if err != nil {
		return false, err
	}
	if _, ours := m.series.Glue[name]; ours {
		return true, nil
	}
	text, patched := files[name]
	if !patched {
		return false, nil
	}
	n, err := strconv.Atoi(place[1])
	if err != nil {
		return false, fmt.Errorf("finding at %q: %w", f.Posn, err)
	}
	original, err := t.Original(name)
	if err != nil {
		return false, err
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if n < 1 || n > len(lines) {
		return false, fmt.Errorf("finding at %q: there is no such line", f.Posn)
	}
	// A line that Moby has anywhere in the file counts as Moby's.
	return !slices.ContainsFunc(bytes.SplitAfter(original, []byte("\n")), func(l []byte) bool { return bytes.Equal(l, lines[n-1]) }), nil
}
