// Containerd runs containerd's own client tests, with the snapshot suite in them,
// on Baleen's snapshotter and differ and on containerd as it is, and fails if a
// test that containerd passes as it is does not pass with Baleen.
//
//	go run ./integration/containerd [-version 2.1,2.3,2.4] [-on stock,differ,proxy,linked] [-run regexp] [flags]
//
// It needs root and the programs of `make build`. It builds what else a version
// needs, and compiles the tests; of the network it needs only the Go module proxy.
//
// # Set-ups
//
//   - stock is containerd as it is, on overlayfs. It says what must pass.
//   - differ is the same with the differ of baleen-containerd for all requests.
//   - proxy is snapshotter and differ of baleen-containerd, as proxy plugins.
//   - linked is a containerd that both are linked into.
//
// How they are judged is in package integration/suites. The last line is
// "N passed, N failed, N skipped", of all set-ups but stock together. Without stock
// nothing is judged, and it counts what the set-ups did. The exit status is 1 if any
// test failed, and 2 if the tests could not be run.
//
// # Where tests run
//
// Inside the namespaces of a stack (package integration/stack), in their package's
// folder. A registry in there stands in for the hosts whose images the tests pull:
// /etc/hosts leads their names to it, and it has a certificate that test binary and
// daemons trust. Its images are made here, of busybox, with what the tests look for.
//
// Most of the tests use the snapshotter that TEST_SNAPSHOTTER names. Those that name
// overlayfs themselves are compiled with that name replaced; so is the digest of one
// image, which an image that is made here cannot have, and so are two folders outside
// of the stack that tests leave behind. The sources are otherwise containerd's.
//
// # What is not run
//
// Stock fails or skips tests of CRIU, of Windows, of control groups v2, and those
// that restart the daemon, which here is not theirs (-no-daemon). Tests that start a
// containerd of their own have containerd's overlayfs in it, except on linked.
//
// # Files
//
// Logs are in .build/logs: containerd-VERSION-SETUP.log has the binary's output, and
// the same name with the daemon's appended has that daemon's. Stock's results are
// kept in containerd-VERSION-stock.json and used again as long as the programs, the
// tests, the images, the kernel and the selection of tests are the same; -fresh
// ignores them.
package main
