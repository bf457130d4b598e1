package mark

import "golang.org/x/sys/unix"

// Extended attributes of an overlay are in one of two namespaces, by the mount
// option userxattr.
const (
	Trusted = "trusted.overlay."
	User    = "user.overlay."
)

// Prefix returns the namespace of an overlay's attributes.
func Prefix(userXattr bool) string {
	if userXattr {
		return User
	}
	return Trusted
}

// Values of overlay.opaque (Documentation/filesystems/overlayfs.rst).
const (
	OpaqueYes    = "y" // nothing from below shows
	OpaqueXattrs = "x" // regular files with overlay.whiteout are deletions
)

// IsWhiteout reports whether an upper's entry says that a name is gone: a
// character device of number 0:0 (Documentation/filesystems/overlayfs.rst).
func IsWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}
