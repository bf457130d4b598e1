// Package snap has what both kinds of histories of a container do to its snapshots:
// label, make, seal, measure and remove them. Package containerstore has the history
// of containers of Docker, and package clientopts that of containers of containerd's
// own client.
//
// A snapshot is sealed by exchanging its folder for that of a committed one; see
// [Store.Seal]. What is sealed is not written again. The root directory of a snapshot
// keeps what the one below it had; see [KeepRoot].
package snap
