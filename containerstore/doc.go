// Package containerstore keeps the revisions of a container of Docker: what its file
// system is made of, and the states that it can go back to.
//
// Below it are
//
//	baseimage/   manifest and configuration of the image that a container stands on
//	checkpoint/  the format of checkpoints: reading, writing, unpacking
//	clientopts/  revisions and checkpoints as options for containerd's own client
//	blob/        writing blobs into containerd's content store
//	lease/       leases of operations, and their labels
//	internal/    snap: what both kinds of histories do to snapshots; label: the labels
//
// # Revisions
//
// A [History] keeps states of a container's file system as revisions. A
// revision is a committed snapshot that nobody writes again, named
// "<id>.r<number>", with a [Record] of the image and configuration that go with
// it. The container itself is the active snapshot of its id, as it ever was; it
// stands on a revision or, as at birth, on its init layer:
//
//	<id>                active: what the container writes
//	<id>.r2             a revision, made of what was written on the first
//	<id>.r1
//	<id>-init           what the runtime mounts files over
//	sha256:…            the image
//
// A revision that is made while the container runs (a live one, [History.SealLive]) is a
// copy. The first stands on what the active snapshot stands on, beside it, and holds all
// that the container wrote there. The next stands on the first, and holds what has changed
// since. What the last one copied is known in memory alone ([LiveSeals]); a daemon that
// does not know it copies all again.
//
// An image other than the one at birth has an init layer of its own,
// "<id>.r<number>-init", below the revision that it was merged for. Snapshots
// of the container above the init layer are its own layers; [Stack] tells them.
// A stack of too many is merged into one, "<id>.c<number>", which stands for
// the revision of that number. Files are cloned for that where the file system can,
// and copied otherwise, with their times and attributes, so a container sees the number
// of names that it gave them; sockets are left out. The same holds for a merge into
// another image.
//
// What a container wrote can also be sealed without being kept
// ([History.SealLayer]): such a snapshot is named like a revision, has no record,
// and counts as none. The container that a project limits ([LabelProject]) stays
// in it wherever it moves: what was sealed of it goes on counting until it is
// removed, and what is copied of a running one does not count.
//
// Any revision but the one that the container stands on can be removed
// ([History.Prune]). If something stands on its snapshot, that stays as a sealed layer
// without a record until nothing does.
//
// # Ids
//
// The layers of a container in a user namespace have either the host's ids
// throughout, or the image's, and are mapped when they are mounted; see [IDs].
// What is written then has the host's. A snapshot of it gets the image's when it
// is sealed, file by file and before anything stands on it: that costs what was
// written, and is one of the things that Recover completes.
//
// # What it promises
//
// Sealing what is active and preparing it on another revision are two calls,
// between which the container has no active snapshot. Where it goes is noted
// before, so [History.Recover] completes it: the container is wholly the old or
// wholly the new after any interruption. A revision that is made for a move
// counts only when the container has got there.
//
// Nothing of a container is moved, linked or removed while somebody may be writing
// to it: containerd is asked for its task, and the mount table for its active
// snapshot, right before; see [History.Idle].
//
// The point of no return is the exchange of folders by which what is active is
// sealed. What can fail because of what a container has put into its files is done
// before it. After it there are renames, labels, and the mapping of owners, which
// nothing in the files makes fail. A root directory whose attributes cannot be copied
// is refused before; an earlier version may have sealed one, and it loses them.
//
// # Intents
//
// What an operation is doing with a snapshot is one label of that, its intent: the snapshot
// was made for a move, or the container is to stand on it, or its folder is being exchanged
// for the container's. Whoever opens the history next completes the operation or takes it
// back, by one table of what can be found (recovery.go); a switch of a container has at
// most two intents, on what it leaves and on what it enters. That files have the host's ids
// is no intent but a second label: it says what the files are, and can be longer than one
// label may be.
//
// Folders that a power cut took are made again if nothing was in them
// ([History.Reopen]), or if what was in the active one is given up for a rollback.
//
// Methods of a History that write are called one at a time for a container; the caller sees
// to that, and holds a lease in the context for what they make meanwhile. What
// stays belongs to the container's own lease.
package containerstore
