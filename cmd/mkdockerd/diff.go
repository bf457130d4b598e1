package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
)

// printDiff writes every file of the fork that differs from Moby's as one
// unified diff, as git prints it. What `go build` adds to go.mod on top of the
// two requirements of ours is left out: it follows from them.
func (m *maker) printDiff(ctx context.Context, w io.Writer) (err error) {
	t, err := m.origin(ctx)
	if err != nil {
		return err
	}
	files, err := m.series.Files(t.Original)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "mkdockerd-diff-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := m.diffGoMod(ctx, t, tmp); err != nil {
		return err
	}
	for name, text := range files {
		before, err := t.Original(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			if err := write(filepath.Join(tmp, "a", name), before); err != nil {
				return err
			}
		}
		if err := write(filepath.Join(tmp, "b", name), text); err != nil {
			return err
		}
	}
	return gitDiff(ctx, tmp, w)
}

// diffGoMod lays Moby's go.mod, or vendor.mod, beside the go.mod that the fork asks
// for.
func (m *maker) diffGoMod(ctx context.Context, t *modtree.Tree, tmp string) error {
	before, err := t.Original("go.mod")
	if errors.Is(err, fs.ErrNotExist) {
		before, err = t.Original("vendor.mod")
	}
	if err != nil {
		return err
	}
	if err := write(filepath.Join(tmp, "a", "go.mod"), before); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(tmp, "b"), 0o755); err != nil {
		return err
	}
	b := *t
	b.Dir = filepath.Join(tmp, "b")
	req, err := m.requirements(filepath.Join(m.line.Dir(filepath.Join(m.root, ".build")), "dockerd"))
	if err != nil {
		return err
	}
	if err := b.Modularise(ctx, req); err != nil {
		return err
	}
	for _, name := range []string{"go.sum", ".baleen-gomod"} {
		if err := os.Remove(filepath.Join(b.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func gitDiff(ctx context.Context, dir string, w io.Writer) error {
	cmd := exec.CommandContext(ctx, "git", "diff", "--no-index", "--no-prefix", "--no-color", "a", "b")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // git's way to say that there are differences
	}
	if err == nil {
		return errors.New("the fork does not differ from Moby")
	}
	return fmt.Errorf("git diff: %w", err)
}
