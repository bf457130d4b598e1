// Package mark has the marks that an overlay file system keeps in an upper
// (Documentation/filesystems/overlayfs.rst): the namespaces of its attributes,
// whiteouts, and the values of overlay.opaque.
package mark
