// Package criu dumps the processes of containers and brings dumps back to where
// containerd restores processes from.
//
// CRIU is a program that writes processes into files, the dump, and makes processes
// of such files again. containerd's shim runs it; this package asks containerd for a
// dump ([Dump]), says whether CRIU works on this host and whether it is new enough for
// a dump ([Check], [Version], [CheckRestore]), and finds what CRIU wrote about a failure
// ([LogOf]).
//
// containerd restores processes from a blob. [Upload] makes a blob of a folder with a
// dump, or returns the blob that the folder refers to: [WriteReference] makes such a
// folder.
//
// The package knows containerd, and neither Docker nor its engine. Errors have the
// classes of containerd/errdefs.
package criu
