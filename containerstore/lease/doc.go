// Package lease makes the leases under which containerd keeps what an operation makes,
// and names their labels.
package lease
