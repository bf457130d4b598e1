// Package tarlayer writes layers as tar streams and packs them into blobs.
//
// [Write] and [Pack] read a sealed upper directory, [WriteChanges] and [PackChanges]
// changes where they lie: both give the same bytes. The bytes depend on nothing but
// the files: neither on the number of processors nor on the order in which a file
// system lists names. [FromTrees] has containerd's walking differ make a layer of what
// cannot be read as changes.
package tarlayer
