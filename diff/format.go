package diff

import "strings"

// How a layer's tar stream marks what is gone, by the image specification
// (layer.md, "Representing Changes").
const (
	// WhiteoutPrefix stands before the name of a file that is gone.
	WhiteoutPrefix = ".wh."
	// OpaqueMarker, in a folder, says that nothing below the folder shows.
	OpaqueMarker = ".wh..wh..opq"
)

// IsReserved reports whether a layer could not hold a file of this name: it
// would be taken for a mark, and delete something.
func IsReserved(name string) bool {
	return strings.HasPrefix(name, WhiteoutPrefix)
}

// MaxPath bounds names, as the kernel does (PATH_MAX). Longer ones exist, but no
// program could reach them.
const MaxPath = 4096

// PAXXattr is what stands before an attribute's name in a PAX record. It comes
// from Schilling's star, and is what every image tool writes.
const PAXXattr = "SCHILY.xattr."
