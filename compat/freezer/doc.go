// Package freezer makes the processes of a container stand still for moments,
// by the freezer of its control group.
//
// The runtime's own pause does the same write, and before it and after it starts
// a program of its own: some ten milliseconds each, most of a small commit. The
// package is for pauses that end soon and that nobody is to see, of containers
// whose runtime freezes by the control group alone: runc's.
//
// Both versions of control groups are understood. containerd knows nothing of it:
// what a killed daemon left frozen, the next one has to [Thaw].
package freezer
