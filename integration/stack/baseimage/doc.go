// Package baseimage makes the images that tests, benchmarks and the demo begin with,
// because no registry is at hand: busybox, Debian and hello-world with the names that
// Moby's suites expect, and images of any number and size of generated files.
//
// An [Image] is made of Debian's packages when it is first needed, which takes some
// seconds, or a minute for Debian, and kept in bin/images. A lock lets several processes
// ask for it at the same time. [Generated] files are the same, byte for byte, for the same
// description.
//
// Package stack puts these images into a daemon.
package baseimage
