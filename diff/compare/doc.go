// Package compare compares two directory trees in all that a layer carries.
//
// [Trees] returns what differs as a [TreeDifference], path by path. It is for tests
// and for checks of what was written: it reads every file of both trees.
package compare
