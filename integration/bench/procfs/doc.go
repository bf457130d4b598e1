// Package procfs reads from /proc what a process costs: processor time, memory
// and bytes read.
//
// A [Gauge] measures a process that goes on, such as a daemon, over a stretch of
// time. [Run] measures a program from its start to its end.
//
// # Caveats
//
// The kernel counts processor time of the daemon in steps of 10 ms. Times and
// bytes include those of children that have ended and were waited for; peaks of
// memory do not.
//
// ReadChars counts what read calls return, from sockets and from the page cache
// as well; cloned extents and mapped files are not in it. ReadBytes is what came
// from a disk.
package procfs
