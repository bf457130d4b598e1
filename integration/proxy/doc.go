// Package proxy tests baleen-containerd, which serves snapshotter and differ to a
// containerd as it is.
package proxy
