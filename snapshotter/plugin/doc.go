// Package plugin makes Baleen's snapshotter and differ part of a containerd that
// is linked with it: an import of it, beside those of containerd's own plugins in
// cmd/containerd/builtins, registers
//
//	io.containerd.snapshotter.v1.baleen
//	io.containerd.differ.v1.baleen
//
// Neither becomes the default of anything. The snapshotter's options are in
// [Config], the differ's in [DifferConfig]; the differ is used where containerd's configuration names it:
//
//	[plugins."io.containerd.service.v1.diff-service"]
//	  default = ["baleen", "walking"]
//
// For a containerd that is not to be built anew, cmd/baleen-containerd offers
// both from a process of its own.
package plugin
