package diff

import "golang.org/x/sys/unix"

// Extended attributes of an overlay are in one of two namespaces, by the mount
// option userxattr.
const (
	trustedOverlay = "trusted.overlay."
	userOverlay    = "user.overlay."
)

// markPrefix returns the namespace of an overlay's attributes.
func markPrefix(userXattr bool) string {
	if userXattr {
		return userOverlay
	}
	return trustedOverlay
}

// Values of overlay.opaque (Documentation/filesystems/overlayfs.rst).
const (
	opaqueYes    = "y" // nothing from below shows
	opaqueXattrs = "x" // regular files with overlay.whiteout are deletions
)

// isWhiteout reports whether an upper's entry says that a name is gone: a
// character device of number 0:0 (Documentation/filesystems/overlayfs.rst).
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}
