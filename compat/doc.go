// Package compat is the phrasebook: what is true only because Docker says so.
//
// It converts configurations between Docker's types and the image
// specification's, names the labels that Moby writes on image records, content
// and leases, and turns containerd's errors into Docker's at the edge. Nothing
// here touches storage.
//
// The sub-package fork holds the edits that put Baleen into Moby's daemon.
package compat
