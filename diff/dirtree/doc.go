// Package dirtree walks, measures and removes plain directory trees, which are no
// overlay's, and puts them on disk.
//
// A tree may be of any depth and size, and somebody may be changing it: it is walked
// by descriptors, about 64 at a time, and no link is followed.
package dirtree
