// Package client calls the routes that Baleen adds to the Docker Engine API:
// snapshots, upgrades and rollbacks of a container, and its revisions.
//
// It goes over the connection of Docker's own client, so contexts, DOCKER_HOST,
// ssh and TLS mean what they mean there. Errors are of containerd's errdefs
// classes and read as Docker's do; [ErrNotBaleen] says that the daemon answered
// and does not know these routes.
package client
