package dump

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// File is all that there is to tell of a file, but for the times of access and change.
type File struct {
	Path string
	Stat unix.Stat_t
	// First is the path that was listed before for the same file, if one was.
	First string
	// Content is the SHA-256 of a regular file, the target of a link, and the numbers
	// of a device.
	Content    string
	Attributes map[string]string
}

// Files calls f with a folder and with each file below it, in the order of the names.
func Files(folder string, f func(File) error) error {
	first := map[[2]uint64]string{}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := read(path)
		if err != nil {
			return err
		}
		if id := [2]uint64{file.Stat.Dev, file.Stat.Ino}; file.Stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			if file.First = first[id]; file.First == "" {
				first[id] = path
			}
		}
		return f(file)
	})
}

func read(path string) (file File, err error) {
	file.Path = path
	if err := unix.Lstat(path, &file.Stat); err != nil {
		return file, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	switch file.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		file.Content, err = hash(path)
	case unix.S_IFLNK:
		file.Content, err = os.Readlink(path)
	case unix.S_IFCHR, unix.S_IFBLK:
		file.Content = fmt.Sprintf("%d,%d", unix.Major(file.Stat.Rdev), unix.Minor(file.Stat.Rdev))
	}
	if err == nil {
		file.Attributes, err = Attributes(path)
	}
	return file, err
}

func hash(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return fmt.Sprintf("%x", sum.Sum(nil)), errors.Join(err, file.Close())
}

// AttributesText lists the attributes as name="value", by name.
func (f File) AttributesText() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(f.Attributes)) {
		all = append(all, fmt.Sprintf("%s=%q", name, f.Attributes[name]))
	}
	return strings.Join(all, " ")
}
