// Package workloads tests what upgrades and rollbacks do to real programs: services that
// mind links, owners and modes of their files, and databases that an image brought. They
// are Debian's, in an image that the stack makes by debootstrap.
package workloads
