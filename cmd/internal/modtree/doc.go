// Package modtree turns a pinned Go module into a source tree that can be
// edited and built.
//
// A pin names a module, its version and the checksum of its zip, the h1 hash
// that go.sum would hold. A tree is a writable copy of the module's files in a
// build folder, with a go.mod of its own: modules that are still published
// without one (Moby and the docker CLI keep theirs as vendor.mod) get it by
// renaming. Trees are made once and kept; [Tree.Sync] brings the files that
// were edited back in line on every run, so that a rebuild compiles only what
// changed.
//
// All sources come through the Go module proxy. Nothing here reaches the
// network but the go command.
package modtree
