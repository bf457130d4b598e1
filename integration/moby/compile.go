package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/suites"
)

// place is where an engine line's programs are.
type place struct {
	line engine.Line
	repo string // the repository
	bin  string // the programs
	dir  string // what they are built from, and what the suites leave
}

// compiled has the paths of what a suite's tests need besides the daemons.
type compiled struct {
	binary string // the tests
	tree   string // Moby's
	client string // the docker command that the tests run
}

// compile brings the test binary of a suite up to date, with Moby's tree and the docker
// command. The go command's cache makes this cheap when nothing has changed.
func compile(ctx context.Context, at place, s suite) (c compiled, err error) {
	c = compiled{binary: filepath.Join(at.dir, "suites", s.Name+".test"), client: filepath.Join(at.bin, "docker")}
	if err := os.MkdirAll(filepath.Dir(c.binary), 0o755); err != nil {
		return c, fmt.Errorf("compile suite: %w", err)
	}
	if c.tree, err = mkdockerd(ctx, at.repo, "-tree"); err != nil {
		return c, fmt.Errorf("find Moby's tree: %w", err)
	}
	overlay, err := lift(filepath.Dir(c.binary), c.tree, s)
	if err != nil {
		return c, fmt.Errorf("compile suite: %w", err)
	}
	if _, err := mkdockerd(ctx, at.repo, "-test", "./"+s.Package, "-o", c.binary, "-overlay", overlay); err != nil {
		return c, fmt.Errorf("compile suite: %w", err)
	}
	if name := s.client[at.line]; name != "" {
		c.client = filepath.Join(at.bin, name)
		if _, err := suites.GoRun(ctx, at.repo, "./cmd/mkstack", "-bin", at.bin, name); err != nil {
			return c, fmt.Errorf("make docker command of suite: %w", err)
		}
	}
	return c, nil
}

// lift writes the sources of a suite without the skips that are lifted, and
// returns the file that puts them into the place of Moby's; "" if there are
// none. The tree itself stays as it is.
func lift(dir, tree string, s suite) (string, error) {
	replace := map[string]string{}
	for _, l := range s.lifted {
		original := filepath.Join(tree, s.Package, l.file)
		text, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		if n := bytes.Count(text, []byte(l.line)); n != 1 {
			return "", fmt.Errorf("lift the skip of %s: it stands %d times in %s: %q", l.test, n, original, l.line)
		}
		lifted := filepath.Join(dir, s.Name+"-"+l.file)
		if err := os.WriteFile(lifted, bytes.Replace(text, []byte(l.line), nil, 1), 0o644); err != nil {
			return "", err
		}
		replace[original] = lifted
	}
	if len(replace) == 0 {
		return "", nil
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, s.Name+"-overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o644)
}

// mkdockerd returns what the command printed, for stock's tree.
func mkdockerd(ctx context.Context, repo string, args ...string) (string, error) {
	return suites.GoRun(ctx, repo, "./cmd/mkdockerd", append([]string{"-stock"}, args...)...)
}
