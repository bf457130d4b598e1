// Package compare compares two directory trees in all that a layer carries.
//
// [Trees] returns what differs as a [TreeDifference], path by path. It is an oracle of
// tests: it reads every file of both trees by plain system calls, and shares neither the
// walk nor the list of extended attributes with the packages that make, apply and merge
// layers. What need not be equal is said by [Options] and by package dump.
package compare
