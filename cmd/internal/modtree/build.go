package modtree

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/baleen-project/baleen/compat/engine"
)

// Build says how one program of a tree is compiled.
type Build struct {
	Package string            // "./cmd/dockerd"
	Output  string            // path of the program
	Tags    []string          // build tags
	Vars    map[string]string // string variables set by the linker
	Cgo     bool
	Test    bool   // compile the package's tests instead (go test -c)
	Overlay string // file for the go command's -overlay: sources in others' places
}

// Run compiles. Paths are trimmed, so two trees that hold the same package
// share its compiled form in the build cache.
func (b Build) Run(ctx context.Context, t *Tree) error {
	var err error
	if b.Output, err = filepath.Abs(b.Output); err != nil {
		return err
	}
	if b.Overlay != "" {
		if b.Overlay, err = filepath.Abs(b.Overlay); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "go", b.args()...)
	cmd.Dir = t.Dir // so paths of the caller are made absolute
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED="+b.cgo())
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := os.MkdirAll(filepath.Dir(b.Output), 0o755); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s of %s: %w", b.Package, t.Dir, err)
	}
	return nil
}

func (b Build) args() []string {
	args := []string{"build"}
	if b.Test {
		args = []string{"test", "-c"}
	}
	args = append(args, "-trimpath", "-buildvcs=false", "-o", b.Output)
	if b.Overlay != "" {
		args = append(args, "-overlay", b.Overlay)
	}
	if len(b.Tags) > 0 {
		args = append(args, "-tags", strings.Join(b.Tags, ","))
	}
	ld := []string{"-w"}
	for _, name := range sortedKeys(b.Vars) {
		ld = append(ld, fmt.Sprintf("-X '%s=%s'", name, b.Vars[name]))
	}
	return append(args, "-ldflags", strings.Join(ld, " "), b.Package)
}

func (b Build) cgo() string {
	if b.Cgo {
		return "1"
	}
	return "0"
}

// RepoRoot finds the folder of this repository's go.mod, from the working
// directory upwards.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		text, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/baleen-project/baleen\n") {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod of github.com/baleen-project/baleen in %s or above", dir)
		}
	}
}

// Folders returns the root of this repository, and the folder to build in: build, or
// that of the line in the repository if build is "".
func Folders(line engine.Line, build string) (root, dir string, err error) {
	if root, err = RepoRoot(); err != nil {
		return "", "", err
	}
	if build == "" {
		build = line.Dir(filepath.Join(root, ".build"))
	}
	dir, err = filepath.Abs(build)
	return root, dir, err
}

// Revision is the repository's commit, short, with "-dirty" when its tracked
// files differ from it; "unknown" outside a git checkout.
func Revision(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty", "--abbrev=9", "--exclude=*")
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
