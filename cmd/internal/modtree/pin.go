package modtree

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/compat/engine"
)

//go:embed pins.txt
var pinFile string

// Modules that the stack is built from besides Moby's, which depends on the
// engine line: [engine.Line.Module].
const (
	CLI          = "github.com/docker/cli"
	Buildx       = "github.com/docker/buildx"
	Compose      = "github.com/docker/compose/v2"
	Containerd   = "github.com/containerd/containerd/v2"
	Runc         = "github.com/opencontainers/runc"
	Distribution = "github.com/distribution/distribution/v3"
)

// Pin is one module at one version.
type Pin struct {
	Module  string
	Version string // as the module proxy knows it, "v28.5.2+incompatible"
	Sum     string // "h1:" hash of the module's zip
	Release string // as people know it, "28.5.2", "29.8.1"

	lines []engine.Line // the engine lines that it is for
}

// Lookup returns the pin of a module that an engine line is built with, its first.
// A module without one is an error: no source is ever built unpinned.
func Lookup(line engine.Line, module string) (Pin, error) {
	pins, err := lookup(line, module)
	if err != nil {
		return Pin{}, err
	}
	return pins[0], nil
}

// Releases returns the pins of an engine line's releases of Moby: first the one that is
// built, then others that its series of patches fits.
func Releases(line engine.Line) ([]Pin, error) { return lookup(line, line.Module()) }

// Last returns the last pin of a module other than Moby's: the version that only tests
// run.
func Last(line engine.Line, module string) (Pin, error) {
	pins, err := lookup(line, module)
	if err != nil {
		return Pin{}, err
	}
	return pins[len(pins)-1], nil
}

func lookup(line engine.Line, module string) (found []Pin, err error) {
	pins, err := parsePins(pinFile)
	if err != nil {
		return nil, err
	}
	for _, p := range pins {
		if p.Module == module && slices.Contains(p.lines, line) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("pins.txt has no line for module %s and engine %s", module, line)
	}
	return found, nil
}

// parsePins reads pins below headings: "[LINE...]", then "MODULE VERSION SUM" and,
// if the version is not that of the release, "RELEASE".
func parsePins(text string) ([]Pin, error) {
	var pins []Pin
	var lines []engine.Line
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var err error
		if strings.HasPrefix(line, "[") {
			lines, err = parseHeading(line)
		} else {
			var p Pin
			p, err = parsePin(line, lines)
			pins = append(pins, p)
		}
		if err != nil {
			return nil, fmt.Errorf("pins.txt:%d: %w", n, err)
		}
	}
	return pins, sc.Err()
}

func parseHeading(text string) (lines []engine.Line, err error) {
	for _, name := range strings.Fields(strings.Trim(text, "[]")) {
		line, err := engine.Parse(name)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func parsePin(text string, lines []engine.Line) (Pin, error) {
	f := strings.Fields(text)
	if len(lines) == 0 {
		return Pin{}, fmt.Errorf("%q has no heading that names its engines", text)
	}
	if len(f) < 3 || len(f) > 4 || !strings.HasPrefix(f[1], "v") || !strings.HasPrefix(f[2], "h1:") {
		return Pin{}, fmt.Errorf("want \"module vVERSION h1:SUM [RELEASE]\", have %q", text)
	}
	p := Pin{Module: f[0], Version: f[1], Sum: f[2], lines: lines}
	p.Release = strings.TrimSuffix(strings.TrimPrefix(p.Version, "v"), "+incompatible")
	if len(f) == 4 {
		p.Release = f[3]
	}
	return p, nil
}

// Download fetches the module into the module cache, unless it is there, and
// returns its read-only folder. The zip's checksum must be the pinned one.
func (p Pin) Download(ctx context.Context) (string, error) {
	dir, sum, err := download(ctx, p.Module, p.Version)
	if err != nil {
		return "", err
	}
	if sum != p.Sum {
		return "", fmt.Errorf("download %s@%s: checksum is %s, pins.txt says %s", p.Module, p.Version, sum, p.Sum)
	}
	return dir, nil
}

// DownloadUnpinned fetches a version of a module that need not be pinned, to be
// looked at and not to be built. The go command checks it as it does any module.
func DownloadUnpinned(ctx context.Context, module, version string) (string, error) {
	dir, _, err := download(ctx, module, version)
	return dir, err
}

func download(ctx context.Context, module, version string) (dir, sum string, err error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = "/" // outside any module: the arguments alone decide
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jerr := json.Unmarshal(out, &got); jerr == nil && got.Error != "" {
		return "", "", fmt.Errorf("download %s@%s: %s", module, version, got.Error)
	}
	if err != nil {
		return "", "", fmt.Errorf("download %s@%s: %w\n%s", module, version, err, stderr.String())
	}
	return got.Dir, got.Sum, nil
}
