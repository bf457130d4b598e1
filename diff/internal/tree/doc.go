// Package tree reads directories by descriptors: single ones, and stacks of overlay
// layers as the kernel would show them merged.
//
// A [View] finds what shows under a name of a merged [Dir], as an [Entry]. A [Descent]
// is the way from the root of a tree to where a walk is: it reads names in the order
// of their bytes, in bounded memory, and closes directories far up. The functions that
// open files follow no link and leave no file system. A file that goes while it is
// looked at is diff.ErrChanged.
package tree
