// Package engine names the lines of Moby's engine that Baleen is built for.
//
// A [Line] is a series of releases that one set of patches fits: 28.5, whose
// module is github.com/docker/docker, and 29, whose module is
// github.com/moby/moby/v2. The variable ENGINE chooses one for building, running
// and testing; without it, that is [Default]. The programs and source trees of the
// default line lie in bin and .build themselves, those of another line in a folder
// of its name below them, so that both lines are there side by side.
//
// This package knows nothing else of an engine, and imports none.
package engine
