// Package lossydisk makes disks that lose data, for tests: writing succeeds, and
// what was written does not get to the disk, as if the device failed.
//
// The kernel tells of such a loss once to each file that was open then, and to the
// first one that asks afterwards.
package lossydisk
