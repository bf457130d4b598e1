// Bench is `make bench`: it measures what a commit costs, and what it costs to keep
// a state of a container, to go back to it and to upgrade, on the fork, on stock
// Moby and on podman, side by side on one machine.
//
//	go run ./integration/bench [-quick] [-only W1,W3] [-rounds N] [-cold] [-proxy] [-install] [-json FILE]
//
// What -json writes is drawn by integration/bench/chart, a module of its own.
//
// # Words
//
// The contestants are the fork, stock dockerd on containerd and on overlay2, and
// podman if it is installed, each in a stack of its own. With -proxy they are the
// fork, stock dockerd on containerd, and stock dockerd with baleen-containerd: as the
// differ, and as the storage driver as well. Two limits tell what the machine could
// do at best with the same files: copying them, and hashing them. A workload changes
// the files of fresh containers in one way, and then they are committed. In each
// round every workload is a turn for each contestant, one after the other, so that
// the machine's moods meet all alike. All of it happens on a volume of each kind of
// file system.
//
// # What is measured
//
// Docker's contestants are asked through the API, so wall time is what dockerd
// takes; what the docker command adds is among the facts of the machine. podman
// has no daemon, so its time is that of the podman command, inside its stack.
// Changing the containers is never timed. New bytes are made for each turn, so
// that no layer is there already; they are the same for all contestants. Before
// each measurement the volume is synced, so nobody pays for another's writes.
// With -cold the page cache is dropped as well.
//
// podman takes no part in W8: its builder makes one layer of what the classic
// builder makes one layer each of. It has no blobs, and no more has overlay2.
//
// W9 has the engine's command load an image from an archive, of layers packed with
// gzip; how long it takes to send it is in the time.
//
// A container's main program reads the clock every millisecond: the longest gap
// that it sees is the pause. Its own scheduling is in it, a few milliseconds on a
// busy machine. podman commits with --pause, since dockerd pauses by default.
//
// # States of a container
//
// After the commit of W1, W2 and W3 the container is also kept, rolled back and
// upgraded. On the fork these are revisions. On the others there is no equal, and
// a user does by hand what comes next to it:
//
//   - snapshot: commit an image. That is the commit that has been measured, so
//     its figures are shown again, and none for a stopped container, nor for a
//     second snapshot after one small file has changed.
//   - rollback: remove the container, and run one of the committed image. What
//     the container was is gone then, where the fork keeps it.
//   - upgrade: create a container of the new image, copy what the workload changed
//     into it, as docker cp does, remove the old one, and take its name. A user has
//     to know these paths; deletions, owners of folders above and changes of the
//     image at the same paths are lost, and all that the container was created
//     with is to be told again.
//
// Rollback is measured on a running container, until it has been started again,
// and on a stopped one, with the start after it as an action of its own. Upgrade
// is measured on a stopped container: after a start the fork waits for three
// seconds to see whether it stays up. The new image is the old one with one more
// layer, of 200 new files and one changed. Before each snapshot and rollback of
// the fork, all that the workload changes has been changed anew and is not sealed.
//
// In W3 the old container is not removed by hand but renamed, since what a turn
// made stays there; and it takes place in one round.
//
// Later rounds of a workload are left out when time is up, unless -rounds asks
// for them; the report says so. What fails is in the report as well, and neither
// a failure nor a missed target is an error of the program.
//
// # What it leaves
//
// Nothing. Everything is in one folder that is removed in the end, also after an
// interrupt, and by the next run if this one was killed; mounts are in a
// namespace of the program's own. Only with -install are Debian packages
// installed (podman, xfsprogs), and they stay.
package main
