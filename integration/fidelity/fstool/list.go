package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// list prints a line for each file below folder, and one for the folder, in the
// order of their names: all that an image promises to keep of it.
func list(_ []string, folder string) error {
	first := map[inode]string{} // to the name that it has been listed under
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line, err := describe(path, first)
		if err == nil {
			_, err = fmt.Println(line)
		}
		return err
	})
}

type inode struct{ dev, ino uint64 }

func describe(path string, first map[inode]string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", fmt.Errorf("stat: %w", err)
	}
	line := fmt.Sprintf("%q %06o %d:%d %d", path, st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
	kind := st.Mode & unix.S_IFMT
	id := inode{st.Dev, st.Ino}
	if name, listed := first[id]; listed && kind != unix.S_IFDIR {
		line += fmt.Sprintf(" is %q", name)
	} else {
		first[id] = path
	}
	var content string
	var err error
	switch kind {
	case unix.S_IFREG:
		content, err = hashOf(path)
	case unix.S_IFLNK:
		content, err = os.Readlink(path)
		content = fmt.Sprintf("-> %q", content)
	case unix.S_IFCHR, unix.S_IFBLK:
		content = fmt.Sprintf("%d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	if err != nil {
		return "", err
	}
	attributes, err := attributesOf(path)
	return strings.TrimRight(line+" "+content+" "+attributes, " "), err
}

func hashOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	return fmt.Sprintf("%d %x", size, hash.Sum(nil)), err
}

// attributesOf returns the extended attributes that a file has, and what they
// are set to.
func attributesOf(path string) (string, error) {
	buf := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return "", fmt.Errorf("list attributes of %s: %w", path, err)
	}
	var all []string
	for _, name := range strings.Split(strings.Trim(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("read attribute %s of %s: %w", name, path, err)
		}
		all = append(all, fmt.Sprintf("%s=%q", name, value[:n]))
	}
	sort.Strings(all)
	return strings.Join(all, " "), nil
}
