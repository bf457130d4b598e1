package xattr

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/internal/text"
)

const (
	Capability = "security.capability"
	AccessACL  = "system.posix_acl_access"
	DefaultACL = "system.posix_acl_default"
)

// The most that the kernel takes of an attribute, in bytes (linux/limits.h:
// XATTR_NAME_MAX, XATTR_SIZE_MAX).
const (
	MaxName  = 255
	MaxValue = 64 << 10
)

// Carried reports whether layers carry an extended attribute: file capabilities,
// POSIX access control lists, and the user's own. It is asked for what is read as
// well as for what is unpacked. The marks of overlay file systems describe an upper
// and not a file. The labels of SELinux, the hashes and signatures of IMA and EVM,
// and all else in security, trusted, system and unknown namespaces belong to the
// machine: a layer could pass for what the machine trusts.
func Carried(name string) bool {
	switch name {
	case Capability, AccessACL, DefaultACL:
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, mark.User) && !strings.Contains(name, "=")
}

const (
	// maxAttrs bounds what a file's carried attributes take in a layer, in bytes.
	// archive/tar, with which containerd and Docker read layers, takes up to 1 MiB for
	// an extended header (maxSpecialFileSize); 64 KiB of that are left for a path and
	// the target of a link.
	maxAttrs = 1<<20 - 64<<10
	// attrCost is what an attribute takes there besides its name and value: its
	// length in digits, [diff.PAXXattr], and three signs.
	attrCost = 32
)

// maxList is the most that the kernel lists of the names of a file's attributes, in
// bytes (XATTR_LIST_MAX in linux/limits.h). XFS and btrfs hold more.
const maxList = 64 << 10

// ErrTooLarge says that the extended attributes of a file are more than a layer can
// hold, or the kernel lists. It is errdefs' ErrConflict.
var ErrTooLarge = errdefs.ErrConflict.WithMessage("extended attributes too large")

// Attr is an extended attribute of a file.
type Attr struct {
	Name  string
	Value []byte
}

// File is something with extended attributes.
type File interface {
	list(buf []byte) (int, error)
	get(name string, buf []byte) (int, error)
}

// Path is a file by its path, which may be a /proc/self/fd path. A link in
// the last place is itself the file.
type Path string

func (p Path) list(buf []byte) (int, error) { return unix.Llistxattr(string(p), buf) }

func (p Path) get(name string, buf []byte) (int, error) {
	return unix.Lgetxattr(string(p), name, buf)
}

// FD is a file by its descriptor.
type FD int

func (fd FD) list(buf []byte) (int, error) { return unix.Flistxattr(int(fd), buf) }

func (fd FD) get(name string, buf []byte) (int, error) {
	return unix.Fgetxattr(int(fd), name, buf)
}

// ReadCarried returns the attributes of a file that a layer carries, by name,
// in the form in which it carries them. path may be a /proc/self/fd path; a
// link in its last place is itself the file.
func ReadCarried(path string) ([]Attr, error) {
	names, err := List(Path(path))
	if err != nil {
		return nil, err
	}
	return CarriedOf(Path(path), names)
}

// CarriedOf is ReadCarried for a file whose attributes have those names.
func CarriedOf(f File, names []string) ([]Attr, error) { return read(f, names, Carried, true) }

// KeptOf returns those attributes with the given names, by name, that go with a file from
// one upper to another, of overlays whose marks begin with prefix: what containers can see
// that is not the machine's. The marks of an overlay in a container are escaped, and the
// container's. XFS lists access control lists twice, and a list set by the second name
// would not be mapped, or be passed on to what is made in a directory. plain says to turn
// capabilities into [PlainCapability].
func KeptOf(f File, names []string, prefix string, plain bool) ([]Attr, error) {
	return read(f, names, func(name string) bool {
		if mark, ok := strings.CutPrefix(name, prefix); ok {
			return strings.HasPrefix(mark, "overlay.")
		}
		if name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT" {
			return false
		}
		return Carried(name) || strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.")
	}, plain)
}

// read returns the wanted attributes of those with the given names, by name.
func read(f File, names []string, wanted func(string) bool, plain bool) ([]Attr, error) {
	var attrs []Attr
	size := 0
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		value, err := Get(f, name)
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read xattr %s: %w", name, err)
		}
		if plain && name == Capability {
			value = PlainCapability(value)
		}
		if size += len(name) + len(value) + attrCost; size > maxAttrs {
			return nil, fmt.Errorf("read xattr %s: with it the extended attributes take more than %d bytes, and readers of layers take 1 MiB for a header: %w", text.Beginning(name), maxAttrs, ErrTooLarge)
		}
		attrs = append(attrs, Attr{name, value})
	}
	slices.SortFunc(attrs, func(a, b Attr) int { return strings.Compare(a.Name, b.Name) })
	return attrs, nil
}

// Equal reports whether two lists, both by name, are equal.
func Equal(a, b []Attr) bool {
	return slices.EqualFunc(a, b, func(x, y Attr) bool { return x.Name == y.Name && bytes.Equal(x.Value, y.Value) })
}

// List returns the names of all attributes of a file. A file system
// without attributes has none.
func List(f File) ([]string, error) {
	var room [256]byte
	buf := room[:]
	for {
		n, err := f.list(buf)
		switch {
		case err == nil && n == 0:
			return nil, nil
		case err == nil:
			names := strings.Split(string(buf[:n]), "\x00")
			return names[:len(names)-1], nil
		case errors.Is(err, unix.ENOTSUP):
			return nil, nil
		case !errors.Is(err, unix.ERANGE):
			return nil, listError(err)
		}
		if n, err = f.list(nil); err != nil {
			return nil, listError(err)
		}
		buf = make([]byte, min(n, maxList)+256) // it may grow meanwhile
	}
}

func listError(err error) error {
	if errors.Is(err, unix.E2BIG) {
		return fmt.Errorf("list xattrs: their names take more than %d bytes, the most that the kernel lists (XATTR_LIST_MAX): remove some: %w: %w", maxList, ErrTooLarge, err)
	}
	return fmt.Errorf("list xattrs: %w", err)
}

// Get reads the value of an attribute. The error for one that is not there is ENODATA.
func Get(f File, name string) ([]byte, error) {
	buf := make([]byte, 128)
	for {
		n, err := f.get(name, buf)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return nil, err
		}
		if n, err = f.get(name, nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+64)
	}
}

// PlainCapability turns capabilities that are tied to a user namespace into
// the form that is not: revision 3 of linux/capability.h is revision 2 and the
// id of the namespace's root behind it. Others are returned as they are.
func PlainCapability(value []byte) []byte {
	const (
		revisionByte = 3 // the top byte of the first, little-endian word
		size2, size3 = 20, 24
	)
	if len(value) != size3 || value[revisionByte] != 3 {
		return value
	}
	plain := slices.Clone(value[:size2])
	plain[revisionByte] = 2
	return plain
}
