// Package label names the labels that Baleen puts on the snapshots of containers.
//
// Values are ids and digests; numbers are decimal. The package has all of them, so
// that the recovery of one kind of containers knows the labels of the other.
package label
