// Package overlay is Baleen's own snapshotter on overlayfs. It implements
// containerd's [snapshots.Snapshotter], and lies on disk as containerd's
// overlay snapshotter does, so that either can open what the other left:
//
//	root/metadata.db         the records, in bbolt, by containerd's storage package
//	root/snapshots/<id>/fs   the snapshot's own files: the upper of an active one,
//	                         a lower of those that stand on it
//	root/snapshots/<id>/work what overlayfs needs beside an upper
//	root/snapshots/new-*     folders that are being made
//	root/snapshots/rm-*      folders that are being deleted
//	root/l/*                 short names of snapshots, for long chains
//
// # What it promises
//
// A snapshot is committed only when its files are on disk: Commit syncs the
// file system before the record says so, and fails if that fails. Commits that
// run at the same time share one sync, one that is alone and has few files syncs
// just these. Whatever changes the records at the same time shares one transaction.
// Prepare returns when the new folder and its record are on disk.
//
// Remove takes the record and the folder's name away and returns; the files are
// deleted in the background, by few workers. Cleanup waits for them. What Close
// leaves undone the next New takes up.
//
// New finds what a crash left: folders without a record go, whatever they hold.
// A record without a folder is an error in the log, and [Snapshotter.Check]
// names it; nobody but the owner of the data can say what is to become of it. If
// there are folders and no database at all, New fails.
//
// A snapshot may have up to 500 others below it, the limit of the kernel, as
// long as their names fit into one page, the limit of mount(2). Long chains are
// mounted by short names, so that they do.
//
// # Caveats
//
// Who still writes into a snapshot while it is committed, or afterwards, writes
// without the promise above. If a sync fails, the kernel does not say whose
// data was lost, nor does it say so twice: until the next start no snapshot that
// existed at that moment can be committed.
package overlay
