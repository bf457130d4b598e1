package diff

import (
	"strings"

	"golang.org/x/sys/unix"
)

// How a layer's tar stream marks what is gone, by the image specification
// (layer.md, "Representing Changes").
const (
	// whiteoutPrefix stands before the name of a file that is gone.
	whiteoutPrefix = ".wh."
	// opaqueMarker, in a folder, says that nothing below the folder shows.
	opaqueMarker = ".wh..wh..opq"
)

// IsReserved reports whether a layer could not hold a file of this name: it
// would be taken for a mark, and delete something.
func IsReserved(name string) bool {
	return strings.HasPrefix(name, whiteoutPrefix)
}

// isWhiteout reports whether an upper's entry says that a name is gone: a
// character device of number 0:0 (Documentation/filesystems/overlayfs.rst).
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}
