// Package fidelity asks whether an image that is committed from a container is
// what the container was.
//
// [Cases] is a corpus of small scripts that each change a container's files in
// one way: everything that a layer can carry, and everything that is known to
// have been lost on the way. A [Lab] runs them in real containers, under one of
// several [Modes] of overlay mounts, on the fork or on stock Moby, and looks at
// the result from all sides with [compare.Trees]:
//
//   - the container's merged view, where the daemon has mounted it;
//   - the snapshot of the image's layers, as the commit has made it;
//   - a fresh unpack of all of the image's layers by containerd's applier, once
//     into one plain directory and once into an overlay in a namespace of
//     containerd that has nothing yet;
//   - the layer's tar itself: its digest is the diffID, GNU tar reads it without
//     complaint, and each entry says what the container has.
//
// All must be equal, but for what is listed here and by MayDiffer of package
// integration/dump: the comparison shares no code with what reads, makes and applies
// layers. What [docker diff] says is checked as well, by itself.
//
// # What may differ
//
// Between the container and the image: sockets; what the runtime puts or mounts
// into a container (/.dockerenv, /etc/hosts, /etc/hostname, /etc/resolv.conf,
// /etc/mtab, and what is in /dev, /proc and /sys), and the modification times of
// the directories that it does so in (/, /etc, /dev).
//
// After containerd's applier, because of what it leaves out itself: the metadata
// of the root directory; modification times before 1970 and after 2262, which it
// replaces by 1970; holes, which it fills.
//
// # Under stock dockerd
//
// In the modes "differ", "driver" and "linked" Baleen's differ stands before
// containerd's, for commits of stock dockerd: of all that is wrong with those, only
// what dockerd itself does is left. In the first baleen-containerd has the differ, in
// the second the storage driver too, and in the third both are linked with containerd.
//
// # Running it
//
//	go test -v ./integration/fidelity
//	go test -v ./integration/fidelity -timeout=1h -flavor=fork,stock -mode=all
//	go test -v ./integration/fidelity -mode=default,redirect -case='hard link'
//	go test -v ./integration/fidelity -mode=sealed,sparing
//
// Without -mode it is the default one, and of redirect and userxattr the cases
// in which an upper looks different there. A mode takes two to four minutes on two
// cores.
//
// It ends with a table of what failed where. What fails on stock is told, but
// fails no test.
package fidelity
