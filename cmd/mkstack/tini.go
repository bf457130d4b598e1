package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// tiniPlaces are where a static tini may be installed already: Debian's and
// Docker's own packages.
var tiniPlaces = []string{"/usr/bin/tini-static", "/usr/libexec/docker/docker-init", "/usr/bin/docker-init"}

// installTini copies tini, the init process that `docker run --init` puts into
// a container, from the system or else from Debian's package, which is only
// unpacked, not installed.
func installTini(ctx context.Context, output string) error {
	if _, err := os.Stat(output); err == nil {
		return nil
	}
	for _, place := range tiniPlaces {
		if text, err := os.ReadFile(place); err == nil {
			return writeProgram(output, text)
		}
	}
	return unpackTini(ctx, output)
}

func unpackTini(ctx context.Context, output string) (err error) {
	tmp, err := os.MkdirTemp("", "mkstack-tini-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	// apt drops its privileges for the download and must be able to write.
	if err := os.Chmod(tmp, 0o777); err != nil {
		return err
	}
	get := exec.CommandContext(ctx, "apt-get", "download", "tini")
	get.Dir = tmp
	if out, err := get.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download tini: %w\n%s(install tini-static or docker-init by hand where there is no apt)", err, out)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "tini_*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download tini: expected one package, found %v", debs)
	}
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", debs[0], tmp).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", debs[0], err, out)
	}
	text, err := os.ReadFile(filepath.Join(tmp, "usr/bin/tini-static"))
	if err != nil {
		return err
	}
	return writeProgram(output, text)
}

func writeProgram(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o755)
}
