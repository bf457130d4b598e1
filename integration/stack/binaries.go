package stack

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/engine"
)

const binDirEnv = "BALEEN_BIN"

// BinDir returns the folder of the programs that make up a stack: BALEEN_BIN, or
// that of the engine line that the variable ENGINE chooses, bin or bin/28.5 in the
// repository that the working directory is in.
func BinDir() (string, error) {
	if dir := os.Getenv(binDirEnv); dir != "" {
		return filepath.Abs(dir)
	}
	repo, err := RepoRoot()
	if err != nil {
		return "", err
	}
	line, err := engine.Chosen()
	if err != nil {
		return "", err
	}
	return line.Dir(filepath.Join(repo, "bin")), nil
}

// FindCRIU has daemons that are started from now on find the CRIU that make criu
// unpacks, if it did and there is no other.
func FindCRIU() error {
	repo, err := RepoRoot()
	if err != nil {
		return err
	}
	return os.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(repo, ".build", "criu", "bin"))
}

// RepoRoot returns the repository that the working directory is in.
func RepoRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
				"no go.mod in %s or above it: run inside the repository, or set %s", start, binDirEnv))
		}
	}
}

// needBinaries fails with the first program that the stack needs and bin lacks.
func (c Config) needBinaries(bin string) error {
	names := []string{c.Flavor.binary(), "docker", "docker-proxy", "docker-init", "containerd-shim-runc-v2", "runc"}
	if c.Proxy {
		names = append(names, string(Proxy))
	}
	if c.ContainerdBin == "" {
		names = append(names, c.containerd())
	} else if err := needExecutable(c.ContainerdBin); err != nil {
		return err
	}
	for _, name := range names {
		if err := needExecutable(filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}

// containerd is the program in bin that is run if no other is asked for.
func (c Config) containerd() string {
	if c.Proxy {
		return "containerd-stock"
	}
	return "containerd"
}

func needExecutable(path string) error {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return errdefs.ErrNotFound.WithMessage(shown(path) + " is missing: run `make build` first")
	case err != nil:
		return fmt.Errorf("look for %s: %w", path, err)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return errdefs.ErrFailedPrecondition.WithMessage(shown(path) + " is not an executable file: run `make build` again")
	}
	return nil
}

// shown shortens a path inside the repository to what one would type there.
func shown(path string) string {
	repo, err := RepoRoot()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(repo, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
