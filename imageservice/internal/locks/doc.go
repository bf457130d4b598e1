// Package locks keeps operations on one container apart.
//
// A container has at most one operation at a time that changes its revisions
// ([Containers.Take]), and a lock: it is held for reading while the container's snapshots
// are looked up or its root is mounted, and for writing while the active snapshot is
// replaced. Who reads the container's files for longer says so ([Containers.Read]):
// nothing of them is sealed or removed meanwhile. Mounts are counted.
//
// Package lifecycle guards the daemon's container besides, and says there why, and in which
// order locks are taken.
package locks
