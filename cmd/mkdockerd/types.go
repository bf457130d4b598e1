package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
)

// testTypes runs go vet and the tests of those packages of this repository that take
// the engine's types from compat/moby, against the line's types and the versions of
// modules that dockerd is built with. The ordinary go test has the types of 28.5.
func (m *maker) testTypes(ctx context.Context, t *modtree.Tree) error {
	packages, err := m.usersOfTypes(ctx)
	if err != nil {
		return err
	}
	overlay, err := m.writeOverlay()
	if err != nil {
		return err
	}
	flags := []string{"-tags", strings.Join(m.tags(), ",")}
	if overlay != "" {
		flags = append(flags, "-overlay", overlay)
	}
	for _, verb := range []string{"vet", "test"} {
		cmd := goInTree(ctx, t, slices.Concat([]string{verb}, flags, packages)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go %s of %d packages with the types of engine %s: %w", verb, len(packages), m.line, err)
		}
	}
	return nil
}

// usersOfTypes returns compat/moby and the packages that link it.
func (m *maker) usersOfTypes(ctx context.Context) ([]string, error) {
	const types = baleenModule + "/compat/moby"
	cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", "./...")
	cmd.Dir = m.root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages that import %s: %w", types, err)
	}
	var users []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); slices.Contains(fields, types) { // it is the first field of its own line
			users = append(users, fields[0])
		}
	}
	return users, nil
}

// goInTree prepares a go command in the tree. Paths are trimmed as in a build, so that
// its compiled packages serve.
func goInTree(ctx context.Context, t *modtree.Tree, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = t.Dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -trimpath", "GOWORK=off", "CGO_ENABLED=0")
	return cmd
}
