// Package fsops makes up random file operations and performs them.
//
// An operation is plain data that names its files by path, so that a list of
// them can be printed, shortened and performed again. It is made up from a guess
// at what is there by then; one that cannot be done when its turn comes, since
// the file is not there or of another kind, does nothing.
//
// Nothing outside of the root is touched: no link is followed.
package fsops
