// Package integration is the proving ground: tests of the whole, through the
// docker CLI, against a real dockerd, containerd and runc.
//
// The sub-packages are its tools: stack starts and stops the daemons in private
// namespaces, fault makes calls between them fail and fault/sysfault their calls
// of the kernel, moby runs Moby's own suites on the fork and on stock, demo is
// `make run`, up is `make up`.
package integration
