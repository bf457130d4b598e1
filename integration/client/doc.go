// Package client tests the options for containerd's own client: revisions and
// checkpoints of containers that no dockerd knows.
package client
