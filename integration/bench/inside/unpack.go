package main

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// unpack writes the regular files of a tar file, and one with the seed in it so
// that no two are the same layer. Arguments are tar file, folder and seed.
func unpack(a *arguments) error {
	archive, dir, seed := a.text(), a.text(), a.number()
	if a.err != nil {
		return a.err
	}
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	made := map[string]bool{}
	buffer := make([]byte, chunk)
	in := tar.NewReader(bufio.NewReaderSize(file, chunk))
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := filepath.Join(dir, header.Name)
		if folder := filepath.Dir(name); !made[folder] {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			made[folder] = true
		}
		if err := writeFile(name, in, header.Size, buffer); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "seed"), fmt.Appendln(nil, seed), 0o644)
}
