package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// prune works on a generated image's tree of folders of files. From the first
// folder on it renames folders, then it deletes folders, then one file from each
// of those that follow, over and over. Arguments are the tree, the numbers of
// files, folders and renames, and a seed that gets into the new names.
func prune(a *arguments) error {
	dir, files, folders, renames, seed := a.text(), a.number(), a.number(), a.number(), a.number()
	if a.err != nil {
		return a.err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if int64(len(entries)) <= folders+renames {
		return fmt.Errorf("%s has only %d folders", dir, len(entries))
	}
	for i, entry := range entries[:renames] {
		old := filepath.Join(dir, entry.Name())
		if err := rename(old, filepath.Join(dir, fmt.Sprintf("renamed-%d-%d", seed, i))); err != nil {
			return err
		}
	}
	for _, entry := range entries[renames : renames+folders] {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return thin(dir, entries[renames+folders:], files)
}

// thin deletes files from the folders in turns.
func thin(dir string, folders []os.DirEntry, files int64) error {
	left := make([][]os.DirEntry, len(folders))
	for i, folder := range folders {
		var err error
		if left[i], err = os.ReadDir(filepath.Join(dir, folder.Name())); err != nil {
			return err
		}
	}
	for n := range files {
		i := int(n) % len(folders)
		if len(left[i]) == 0 {
			return fmt.Errorf("%s has too few files to delete %d", dir, files)
		}
		if err := os.Remove(filepath.Join(dir, folders[i].Name(), left[i][0].Name())); err != nil {
			return err
		}
		left[i] = left[i][1:]
	}
	return nil
}

// rename renames a folder of files as mv does: overlay refuses it for one that
// is in an image, unless its redirect_dir is on, so the files are copied.
func rename(old, to string) error {
	err := os.Rename(old, to)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	entries, err := os.ReadDir(old)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	buffer := make([]byte, chunk)
	for _, entry := range entries {
		if err := copyFile(filepath.Join(old, entry.Name()), filepath.Join(to, entry.Name()), buffer); err != nil {
			return err
		}
	}
	return os.RemoveAll(old)
}

func copyFile(from, to string, buffer []byte) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := writeFile(to, io.LimitReader(file, info.Size()), info.Size(), buffer); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
