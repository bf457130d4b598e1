// Package lease runs operations, each under one lease of containerd.
//
// An operation begins with [Operations.Begin]. All that it creates is held by its lease,
// and what exists already can be put under it ([Operations.Keep]). The lease goes when the
// operation ends, so that garbage collection takes what an operation that failed has left.
// Labels of the lease name the verb, the object and the daemon: after a crash the next
// start deletes the leases that have been left ([Operations.Sweep]).
//
// At shutdown the contexts of all operations end, and [Operations.Shutdown] waits until
// they have cleaned up.
package lease
