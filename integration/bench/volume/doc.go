// Package volume makes the file systems that the benchmark runs on.
//
// A volume is a folder on a file system of the wanted kind: one below the given
// folder if that is on such a file system, or else a new file system in a sparse
// file, mounted through a loop device.
//
// # What it promises
//
// Nothing stays, not even after SIGKILL: the file loses its name and the loop
// device is bound to go with its last user as soon as both are in use. The mount
// must be made in a mount namespace of the caller's own, which the kernel
// dissolves; otherwise a process that copied the caller's namespace meanwhile
// would keep the file system. In the instant between making the file and mounting
// it a kill leaves a file below the given folder, which is the caller's to
// remove.
package volume
