// Package commit tests docker commit: what the image holds, what the container notices,
// what fails cleanly, and commits beside each other.
package commit
