// Package merge takes a container's changes over to another image.
//
// [Changes] walks the merged changes as package changes walks a container's own, so
// whoever seals or packs the one can do so with the other. What the container and
// the new image both changed is a [Conflict]; a [Policy] says who wins it.
package merge
