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

// Files calls f with a folder and with each file below it, in the order of the names. A
// file of several names is read once, at the first of them: busybox has 400.
func Files(folder string, f func(File) error) error {
	first := map[[2]uint64]File{}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file := File{Path: path}
		if err := unix.Lstat(path, &file.Stat); err != nil {
			return &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		id := [2]uint64{file.Stat.Dev, file.Stat.Ino}
		if known, ok := first[id]; ok {
			file.First, file.Content, file.Attributes = known.Path, known.Content, known.Attributes
			return f(file)
		}
		if err := file.read(); err != nil {
			return err
		}
		if file.Stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			first[id] = file
		}
		return f(file)
	})
}

// read reads what its stat does not tell.
func (f *File) read() (err error) {
	switch f.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f.Content, err = hash(f.Path)
	case unix.S_IFLNK:
		f.Content, err = os.Readlink(f.Path)
	case unix.S_IFCHR, unix.S_IFBLK:
		f.Content = fmt.Sprintf("%d,%d", unix.Major(f.Stat.Rdev), unix.Minor(f.Stat.Rdev))
	}
	if err == nil {
		f.Attributes, err = Attributes(f.Path)
	}
	return err
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
