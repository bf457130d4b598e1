// Package fork reads and applies what makes Moby's daemon Baleen's: for each
// engine line a series of patches and the glue, Go files of ours that must live
// in Moby's packages because they touch unexported members.
//
// The folder of an engine line, such as 28.5, holds
//
//	0001-daemon-make-it-so.patch   one purpose each, with its reason, as git format-patch writes it
//	_glue/daemon/baleen.go         a file to add, at its path in Moby's tree
//
// The folder _glue beside them has the files that are the same for all lines.
//
// cmd/mkdockerd applies them to a copy of the pinned module, prints them as one
// diff, and writes the patches.
//
// # How a patch fits
//
// The old lines of each hunk, which are its context and the removed lines, must
// stand exactly once in the file, anywhere. Line numbers are for readers and for
// git. So a line that Moby inserts beside a hunk does not matter, and of two
// places that look alike neither is taken. Anything else is an error that names
// patch, file and hunk: after an upgrade of Moby a person decides again, nothing
// is patched by guess. Hunks carry as little context as that takes, and one line
// behind the changes, which git asks for: `git am` applies the series as well.
package fork
