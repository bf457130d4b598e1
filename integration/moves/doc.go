// Package moves tests upgrades and rollbacks by an image service in the test's process,
// beside the daemon's, on containers that the daemon has created.
package moves
