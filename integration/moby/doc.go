// Moby runs Moby's own integration suites against the fork and against stock,
// and fails if a test that stock passes does not pass on the fork.
//
//	go run ./integration/moby -suite image|build|container|volume|system|cli|checkpoint [-run regexp] [flags]
//
// Several suites may be named, separated by commas. It needs root and the
// programs of `make build`. All that it needs of the network is the Go module
// proxy, when it compiles a suite for the first time.
//
// # What it does
//
// For each suite it compiles the test binary from the pinned tree of Moby, the
// same one that stock is built from, and runs it once on a stack of each flavor
// (see package integration/stack). How the fork is judged, and what becomes of a
// binary that ends badly, is in package integration/suites.
//
// The last line is "N passed, N failed, N skipped": judged tests that the fork
// passed and failed, and tests that the fork skipped as stock did or could not
// do either. With -only nothing is judged, and it counts what that flavor did.
// The exit status is 1 if any failed, and 2 if the suites could not be run.
//
// # Where tests run
//
// Inside the namespaces of the stack, in their package's folder. An overlay
// covers Moby's tree and another one /etc, so nothing that a test writes there
// stays. HOME, TMPDIR and the folders of the daemons that tests start are
// below the stack's root.
//
// # Files
//
// Logs are in .build/logs, those of another engine line than the default in
// .build/LINE/logs: moby-SUITE-FLAVOR.log has the binary's output, of the first run
// and of those that followed, and moby-SUITE-FLAVOR-dockerd.log the daemon's. Stock's results are kept in moby-SUITE-stock.json and used again as
// long as the programs, the suite, the kernel and the selection of tests are the
// same; -fresh ignores them.
package main
