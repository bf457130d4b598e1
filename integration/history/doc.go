// Package history tests the revisions that package containerstore keeps on a daemon's
// containerd: in processes of the test's own, cut short at each call, and with folders
// or contents lost.
package history
