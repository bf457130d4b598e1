// Package revisions tests snapshots, upgrades and rollbacks of containers through the
// API and the docker command.
package revisions
