package modtree

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// OpenSource makes dir a copy of the source tree of somebody else instead of a
// pinned module, each time anew, since nothing tells whether that has changed.
// It leaves out what a module does not hold: vendor/, .git/ and links.
func OpenSource(pin Pin, source, dir string) (*Tree, error) {
	if info, err := os.Stat(source); err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open source: %s is no folder", source)
	}
	if rel, err := filepath.Rel(source, dir); err != nil || rel == "." || !strings.HasPrefix(rel, "..") {
		return nil, fmt.Errorf("open source: build folder %s is within %s (%w)", dir, source, fs.ErrInvalid)
	}
	t := &Tree{Pin: pin, Dir: dir, Origin: source}
	if err := clearTree(dir); err != nil {
		return nil, err
	}
	if err := copyTree(source, dir); err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w", source, dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, sourceMark), []byte("source "+source), 0o644); err != nil {
		return nil, fmt.Errorf("mark build folder %s: %w", dir, err)
	}
	return t, nil
}

// CopyFiles copies the files of a module, but for vendor/, to a new folder,
// where they can be written.
func CopyFiles(module, dir string) error { return copyTree(module, dir) }

// DownloadUnpinned fetches a version of a module that need not be pinned, to be
// looked at and not to be built. The go command checks it as it does any module.
func DownloadUnpinned(ctx context.Context, module, version string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = "/" // outside any module
	out, err := cmd.Output()
	var got struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &got); jerr == nil && got.Error != "" {
		return "", fmt.Errorf("download %s@%s: %s", module, version, got.Error)
	}
	if err != nil {
		return "", fmt.Errorf("download %s@%s: %w", module, version, err)
	}
	return got.Dir, nil
}
