// Package version holds Baleen's version. It imports nothing, so that programs without
// any Docker, like baleen-containerd, can tell theirs.
package version

// Version is Baleen's version, by semantic versioning. It shows in
// `dockerd --version` and in the storage driver's status of `docker info`.
const Version = "0.1.0"
