// Package containers puts random operations on running containers and checks
// that what becomes of them by docker commit is what they were.
//
// It does the trials of package trial in a real engine: each list of operations
// for the image is done in a container that is committed, and the next container
// is of that image. The lists for the uppers are done one after the other in one
// container, with a commit after each. Some plans also commit while operations
// go on, and kill dockerd in the middle of a commit.
//
// After each commit the container's merged view, the image's snapshot and a
// fresh unpacking by containerd's applier must be equal: see package fidelity,
// which also says what may differ. A container that goes on meanwhile has no
// view to compare; of its image, snapshot and unpacking must be equal.
//
// Operations are done by the soak program itself, which is mounted into the
// containers.
package containers
