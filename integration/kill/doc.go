// Package kill kills dockerd and containerd, at calls of an operation or at random
// instants, and tests what they find when they start again.
package kill
