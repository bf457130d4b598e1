// Package unfinished removes containers whose creation, or whose restore from a
// checkpoint, did not come to its end.
//
// # Words
//
// A mark is a file in a container's folder while the container is made. The mark of a
// creation ([MarkCreating]) is there from before the container has a layer until the
// daemon has registered the container. The mark of a restore ([MarkRestoring]) is there
// from before there is anything of the container until it has been started. Whoever
// finds a mark when the daemon starts finds what a crash has cut short. A container with
// the mark of a restore is whole once it has been started.
//
// # What it promises
//
// [Cleaner.Mend] is called at the daemon's start, when all containers have been loaded.
// It removes what has a mark and is not whole, with its layers, processes, mounts and
// images, and takes the marks off the rest. It does not touch what may be somebody
// else's: containers of another storage driver, and folders that are copies. What
// cannot be removed keeps its mark, for the next start.
//
// [Cleaner.TakeBack] removes the container of a restore that has failed in a daemon that
// goes on. While containerd is away it tries again for a minute.
//
// # Caveats
//
// The mark of a creation is not synced: containerd syncs its own records later, and so
// the mark with them if they are on the same file system.
package unfinished
