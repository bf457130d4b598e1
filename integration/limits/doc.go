// Package limits tests what happens where something ends: full disks, quotas, and the
// memory that hostile trees take.
package limits
