package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baleen-project/baleen/integration/suites"
)

// compile brings the test binary of a suite up to date, in the folder build, and
// Moby's tree. The go command's cache makes this cheap when nothing has changed.
func compile(ctx context.Context, repo, build string, s suite) (binary, tree string, err error) {
	binary = filepath.Join(build, "suites", s.Name+".test")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", "", fmt.Errorf("compile suite: %w", err)
	}
	tree, err = mkdockerd(ctx, repo, "-tree")
	if err != nil {
		return "", "", fmt.Errorf("find Moby's tree: %w", err)
	}
	overlay, err := lift(filepath.Dir(binary), tree, s)
	if err != nil {
		return "", "", fmt.Errorf("compile suite: %w", err)
	}
	if _, err := mkdockerd(ctx, repo, "-test", "./"+s.Package, "-o", binary, "-overlay", overlay); err != nil {
		return "", "", fmt.Errorf("compile suite: %w", err)
	}
	return binary, tree, nil
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
