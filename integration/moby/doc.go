// Moby runs Moby's own integration suites against the fork and against stock,
// and fails if a test that stock passes does not pass on the fork.
//
//	go run ./integration/moby -suite image|build|container|cli [-run regexp] [flags]
//
// Several suites may be named, separated by commas. It needs root and the
// programs of `make build`. All that it needs of the network is the Go module
// proxy, when it compiles a suite for the first time.
//
// # What it does
//
// For each suite it compiles the test binary from the pinned tree of Moby, the
// same one that stock is built from, and runs it once on a stack of each flavor
// (see package integration/stack). Every test and subtest is judged on its own:
//
//   - Judged is what stock passes. On the fork it passes or fails; a test that
//     the fork skips or never gets to has failed.
//   - What did not pass on the fork is run alone, in a fresh stack, up to two
//     times. If it passes then it counts as passed, and is listed.
//   - What still does not pass is run alone on stock as well. If it fails there
//     too it is flaky: listed, but not judged.
//   - What stock fails or skips is not judged. It is listed if the fork does
//     better.
//
// The last line is "N passed, N failed, N skipped": judged tests that the fork
// passed and failed, and tests that the fork skipped as stock did or could not
// do either. With -only nothing is judged, and it counts what that flavor did.
// The exit status is 1 if any failed, and 2 if the suites could not be run.
//
// A test binary that panics, ends early or hangs is reported. The tests that ran
// at that moment have failed; those that had not had their turn get it in
// another run of the binary, on a fresh stack.
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
// Logs are in .build/logs: moby-SUITE-FLAVOR.log has the binary's output, of the
// first run and of those that followed, and moby-SUITE-FLAVOR-dockerd.log the
// daemon's. Stock's results are kept in moby-SUITE-stock.json and used again as
// long as the programs, the suite, the kernel and the selection of tests are the
// same; -fresh ignores them.
package main
