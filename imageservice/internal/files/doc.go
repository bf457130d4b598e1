// Package files finds the files of a daemon's containers in containerd: [Containers]. It
// says where they lie, keeps those apart who move and who read them, and completes what a
// crash has cut short of a move.
//
// A container is cut if a move of it was not completed, or may not have been. Whoever is
// about to use it settles it before: [Containers.Settle].
package files
