package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sourceFile is a file to take, under the name that it gets.
type sourceFile struct {
	path, name string
}

// writeSource writes a tar file of source code: Go's own tree in the order of
// names, and from the beginning again until there are enough files. Where it has
// none it makes something up. It returns what it has done.
func writeSource(ctx context.Context, path string, wanted source) (string, error) {
	files, err := findSource(ctx)
	if err != nil {
		return "", err
	}
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	buffered := bufio.NewWriterSize(file, 1<<20)
	out := tar.NewWriter(buffered)
	var note string
	if len(files) == 0 {
		note = "W3: no source code found, so its files are made up"
		err = makeUpSource(out, wanted)
	} else {
		note, err = packSource(ctx, out, files, wanted.files)
	}
	return note, errors.Join(err, out.Close(), buffered.Flush(), file.Close())
}

// findSource lists the files of Go's tree, if it is on this machine.
func findSource(ctx context.Context) ([]sourceFile, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find source code: go env: %w", err)
	}
	root := strings.TrimSpace(string(out))
	var files []sourceFile
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, path)
		files = append(files, sourceFile{path: path, name: name})
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find source code: %w", err)
	}
	return files, nil
}

// packSource takes as many files as are wanted, whatever they weigh.
func packSource(ctx context.Context, out *tar.Writer, files []sourceFile, wanted int) (string, error) {
	var size int64
	for i := range wanted {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		file := files[i%len(files)]
		content, err := os.ReadFile(file.path)
		if err != nil {
			return "", err
		}
		if err := add(out, filepath.Join(fmt.Sprint(i/len(files)), file.name), content); err != nil {
			return "", err
		}
		size += int64(len(content))
	}
	return fmt.Sprintf("W3: %d files of Go's own tree, %d MB", wanted, size/1e6), nil
}

func add(out *tar.Writer, name string, content []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

// makeUpSource writes lines that look like code to a compressor.
func makeUpSource(out *tar.Writer, wanted source) error {
	random := rand.New(rand.NewPCG(1, 3))
	words := strings.Fields("func return if err != nil { } := range for string int context error type struct map append len // the of a")
	var content bytes.Buffer
	for i := range wanted.files {
		content.Reset()
		for size := random.Int64N(2*wanted.bytes/int64(wanted.files) + 1); int64(content.Len()) < size; {
			content.WriteString(words[random.IntN(len(words))])
			content.WriteString([]string{" ", " ", " ", "\n\t", fmt.Sprintf("x%d ", random.IntN(1000))}[random.IntN(5)])
		}
		if err := add(out, fmt.Sprintf("made-up/%03d/%05d.go", i/100, i), content.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
