package modtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// gomodMark keeps the go.mod that Modularise last asked for. The go command
// rewrites go.mod itself (it adds what a raised requirement brings along), so
// the file alone does not tell whether it is up to date.
const gomodMark = ".baleen-gomod"

// Requirements changes what a tree's go.mod asks for.
type Requirements struct {
	// Require raises modules to at least these versions.
	Require map[string]string
	// Replace maps a module to a folder; it is required as well.
	Replace map[string]string
	// Sums is the text of a go.sum whose lines are added to the tree's.
	Sums []byte
}

// Modularise gives the tree a go.mod and go.sum, from the module's vendor.mod
// and vendor.sum when it has none, and applies req.
func (t *Tree) Modularise(ctx context.Context, req Requirements) error {
	if len(req.Require)+len(req.Replace) == 0 && t.has("go.mod") {
		return nil // a module like any other: built as it was published
	}
	mod, err := t.originalEither("go.mod", "vendor.mod")
	if err != nil {
		return err
	}
	sum, err := t.originalEither("go.sum", "vendor.sum")
	if err != nil {
		return err
	}
	args := req.editArgs()
	want := append([]byte(strings.Join(args, "\n")+"\n"), mod...)
	mark := filepath.Join(t.Dir, gomodMark)
	if have, err := os.ReadFile(mark); err == nil && bytes.Equal(have, want) {
		return nil
	}
	// Without its mark a tree that is changed half-way is done again.
	if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.Dir, "go.mod"), mod, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.Dir, "go.sum"), mergeSums(sum, req.Sums), 0o644); err != nil {
		return err
	}
	if len(args) > 0 { // the go command refuses an edit that edits nothing
		cmd := exec.CommandContext(ctx, "go", append([]string{"mod", "edit"}, args...)...)
		cmd.Dir = t.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("edit go.mod of %s: %w\n%s", t.Dir, err, out)
		}
	}
	return os.WriteFile(mark, want, 0o644)
}

func (r Requirements) editArgs() []string {
	var args []string
	for _, m := range sortedKeys(r.Require) {
		args = append(args, "-require="+m+"@"+r.Require[m])
	}
	for _, m := range sortedKeys(r.Replace) {
		args = append(args, "-require="+m+"@v0.0.0", "-replace="+m+"="+r.Replace[m])
	}
	return args
}

func (t *Tree) has(name string) bool {
	_, err := os.Stat(filepath.Join(t.Origin, name))
	return err == nil
}

func (t *Tree) originalEither(name, other string) ([]byte, error) {
	text, err := t.Original(name)
	if errors.Is(err, fs.ErrNotExist) {
		return t.Original(other)
	}
	return text, err
}

func mergeSums(texts ...[]byte) []byte {
	lines := map[string]string{}
	for _, text := range texts {
		for _, line := range strings.Split(string(text), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				lines[line] = ""
			}
		}
	}
	return []byte(strings.Join(sortedKeys(lines), "\n") + "\n")
}
