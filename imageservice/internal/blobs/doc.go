// Package blobs writes blobs into containerd's content store, under the lease of an
// operation.
//
// A [Writer] takes a large blob, such as a layer. [Store.WriteAll] writes small ones at
// the same time. A blob that exists already is put under the lease and gets the labels that
// it lacks ([Store.Adopt]).
//
// # Words
//
// A blob is placed if this package writes its file, in containerd's folder, and has
// containerd record it; containerd does not read it. It is sent if its bytes go to
// containerd, which writes the file. Blobs are placed where that works; a random one is,
// before the first, to find out. The log says why they are sent.
//
// # What it promises
//
// A file gets its name when it is whole and on disk. When Commit has returned, containerd
// has a record of the blob, and the lease holds it. A file with a name that containerd has
// no record of is left only by a crash, and [Store.Collect] has containerd remove it.
//
// # Caveats
//
// [Names] puts the names of blobs on disk that are sent: containerd does not.
package blobs
