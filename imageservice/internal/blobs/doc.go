// Package blobs writes blobs into containerd's content store, under the lease of an
// operation.
//
// A [Writer] streams a large blob, such as a layer. [Store.WriteAll] writes small ones at
// the same time. A blob that exists already is put under the lease and gets the labels that
// it lacks ([Store.Adopt]). [Names] puts the names of blobs on disk, which containerd does
// not.
package blobs
