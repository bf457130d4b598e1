package modtree

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed pins.txt
var pinFile string

// Modules that the stack is built from, as pins.txt names them.
const (
	Moby         = "github.com/docker/docker"
	CLI          = "github.com/docker/cli"
	Buildx       = "github.com/docker/buildx"
	Containerd   = "github.com/containerd/containerd/v2"
	Runc         = "github.com/opencontainers/runc"
	Distribution = "github.com/distribution/distribution/v3"
)

// Pin is one module at one version.
type Pin struct {
	Module  string
	Version string // as the module proxy knows it, "v28.5.2+incompatible"
	Sum     string // "h1:" hash of the module's zip
}

// Number is the version as people write it: without "v" and "+incompatible".
func (p Pin) Number() string {
	return strings.TrimSuffix(strings.TrimPrefix(p.Version, "v"), "+incompatible")
}

// Lookup returns the pin of a module that we build with, its first. A module
// without one is an error: no source is ever built unpinned.
func Lookup(module string) (Pin, error) {
	pins, err := lookup(module)
	if err != nil {
		return Pin{}, err
	}
	return pins[0], nil
}

// Newest returns the last pin of a module, of the newest version that we are
// tried with.
func Newest(module string) (Pin, error) {
	pins, err := lookup(module)
	if err != nil {
		return Pin{}, err
	}
	return pins[len(pins)-1], nil
}

func lookup(module string) (found []Pin, err error) {
	pins, err := parsePins(pinFile)
	if err != nil {
		return nil, err
	}
	for _, p := range pins {
		if p.Module == module {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("pins.txt has no line for module %s", module)
	}
	return found, nil
}

func parsePins(text string) ([]Pin, error) {
	var pins []Pin
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[1], "v") || !strings.HasPrefix(f[2], "h1:") {
			return nil, fmt.Errorf("pins.txt:%d: want \"module vVERSION h1:SUM\", have %q", n, line)
		}
		pins = append(pins, Pin{Module: f[0], Version: f[1], Sum: f[2]})
	}
	return pins, sc.Err()
}

// Download fetches the module into the module cache, unless it is there, and
// returns its read-only folder. The zip's checksum must be the pinned one.
func (p Pin) Download(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", p.Module+"@"+p.Version)
	cmd.Dir = "/" // outside any module: the pin alone decides
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jerr := json.Unmarshal(out, &got); jerr == nil && got.Error != "" {
		return "", fmt.Errorf("download %s@%s: %s", p.Module, p.Version, got.Error)
	}
	if err != nil {
		return "", fmt.Errorf("download %s@%s: %w\n%s", p.Module, p.Version, err, stderr.String())
	}
	if got.Sum != p.Sum {
		return "", fmt.Errorf("download %s@%s: checksum is %s, pins.txt says %s", p.Module, p.Version, got.Sum, p.Sum)
	}
	return got.Dir, nil
}
