// Package blob writes blobs into containerd's content store.
package blob
