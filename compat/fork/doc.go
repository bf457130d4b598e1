// Package fork holds what makes Moby's daemon Baleen's: a handful of named
// edits, each at an exact anchor, and the Go files of ours that must live in
// Moby's package daemon because they touch its unexported fields.
//
// cmd/mkdockerd applies them to a copy of the pinned module. The whole fork is
// meant to be read in five minutes: `mkdockerd -diff` prints it.
//
// An edit whose anchor is missing, or stands in its file twice, is an error
// that names both: after an upgrade of Moby a person decides again, nothing is
// patched by guess.
package fork
