package dump

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// most is how long a file's list of attributes can be, and a value, in bytes
// (linux/limits.h: XATTR_LIST_MAX, XATTR_SIZE_MAX).
const most = 64 << 10

// Attributes returns all extended attributes of a file that the caller may see, by
// name. A link in the last place of the path is itself the file.
func Attributes(path string) (map[string]string, error) {
	names, err := get(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
	switch {
	case errors.Is(err, unix.ENOTSUP) || err == nil && names == "":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list attributes of %s: %w", path, err)
	}
	all := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		value, err := get(func(buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", name, path, err)
		}
		all[name] = value
	}
	return all, nil
}

// get reads what is mostly short.
func get(read func(buf []byte) (int, error)) (string, error) {
	buf := make([]byte, 256)
	n, err := read(buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, most)
		n, err = read(buf)
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// machines are attributes that the machine gives a file, or that only it may trust.
var machines = []string{
	"security.selinux", "security.apparmor", "security.SMACK64", "security.ima", "security.evm",
}

// MayDiffer reports whether two files that are equal for a container may differ in an
// attribute: labels, hashes and signatures of the machine; the namespace trusted, which
// containers cannot see and overlay file systems write; the marks of an overlay with
// userxattr. A name with "=" cannot be written into a tar header. All other attributes
// count.
func MayDiffer(name string) bool {
	for _, m := range machines {
		if name == m || m == "security.SMACK64" && strings.HasPrefix(name, m) {
			return true
		}
	}
	return strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "user.overlay.") || strings.Contains(name, "=")
}
