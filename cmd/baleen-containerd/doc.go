// Baleen-containerd offers Baleen's snapshotter and differ to any containerd, as
// proxy plugins on a unix socket:
//
//	baleen-containerd [--root DIR] [--address SOCKET] [--containerd-address SOCKET]
//	                  [--max-layer-size SIZE] [--log-level LEVEL] [--any-caller]
//	baleen-containerd --print-config [--differ-for-all]
//	                                    what containerd's configuration needs
//	baleen-containerd --version
//
// What it knows is in its root, so it can be stopped, killed and started again
// while containers run: their mounts are the kernel's. While it is away,
// containerd answers requests for snapshots with "unavailable".
//
// A root belongs to the containerd that uses it first, and to the name that its
// configuration gives the snapshotter: another containerd would remove all that it
// does not know. owner.json in the root says to whom. Requests of others are
// refused, and so is a folder that another snapshotter has made. To tell who calls,
// this daemon has to run in containerd's pid namespace, or in one above it.
//
// With --any-caller whoever can open the socket is answered: for clients that are not
// containerd, such as BuildKit's own worker, and for a containerd whose processes this
// one cannot see. Nothing then keeps a second client from removing the first one's
// snapshots.
//
// With --differ-for-all the printed configuration has containerd use the differ for
// all snapshotters. They then depend on this daemon: while it is away, none of them
// unpacks or commits an image.
//
// Of two daemons on one root the second is refused. The socket can be used by
// root alone, for who has it can read and write every snapshot.
package main
