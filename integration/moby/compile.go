package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// compile brings the test binary of a suite up to date, and Moby's tree. The
// go command's cache makes this cheap when nothing has changed.
func compile(ctx context.Context, repo string, s suite) (binary, tree string, err error) {
	binary = filepath.Join(repo, ".build", "suites", s.name+".test")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", "", fmt.Errorf("compile suite: %w", err)
	}
	if _, err := mkdockerd(ctx, repo, "-test", "./"+s.pkg, "-o", binary); err != nil {
		return "", "", fmt.Errorf("compile suite: %w", err)
	}
	tree, err = mkdockerd(ctx, repo, "-tree")
	if err != nil {
		return "", "", fmt.Errorf("find Moby's tree: %w", err)
	}
	return binary, tree, nil
}

// mkdockerd returns what the command printed, for stock's tree.
func mkdockerd(ctx context.Context, repo string, args ...string) (string, error) {
	args = append([]string{"run", "./cmd/mkdockerd", "-stock"}, args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = repo
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(messages.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}
