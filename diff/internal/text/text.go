package text

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Beginning is a path for an error, or what it begins with.
func Beginning(path string) string { return begin(path, shownPath) }

// shownStart is how much is told, in bytes, of a path that is too long for a layer.
const shownStart = 200

// Start is what such a path begins with.
func Start(path string) string { return begin(path, shownStart) }

func begin(path string, length int) string {
	if len(path) <= length {
		return path
	}
	return path[:length] + "..."
}

// shownPath is how much of a path an error tells, in bytes.
const shownPath = 1024

// Printable is the path, quoted if a terminal could not show it as it is.
func Printable(path string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if !utf8.ValidString(path) || strings.ContainsFunc(path, odd) {
		return strconv.Quote(path)
	}
	return path
}

// KindName names a type of files, as in unix.S_IFMT.
func KindName(kind uint32) string {
	switch kind {
	case unix.S_IFREG:
		return "regular file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFSOCK:
		return "socket"
	}
	return fmt.Sprintf("file of type %#o", kind)
}
