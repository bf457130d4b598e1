// Package version holds Baleen's version. It imports nothing, so that programs without
// any Docker, like baleen-containerd, can tell theirs.
package version
