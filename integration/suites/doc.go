// Package suites runs a test binary of another project on several set-ups of
// daemons, and tells which tests are lost on them.
//
// # Words
//
// A [Suite] is a selection of the tests of one binary. A set-up is a way to run
// the daemons, known by a name; one of them, stock, says what must pass. A [Rig]
// is a set-up with its daemons running. A [Campaign] runs one suite on all set-ups
// and judges those that are not stock.
//
// # What it does
//
// Each set-up runs the binary once, on a rig of its own. Every test and subtest is
// judged by itself:
//
//   - Judged is what stock passes. On another set-up it passes or fails; a test that
//     the set-up skips or never gets to has failed.
//   - What did not pass is run alone, on a fresh rig, up to two times. If it passes
//     then it counts as passed, and is listed.
//   - What still does not pass is run alone on stock as well. If it fails there too
//     it is flaky: listed, but not judged.
//   - What stock fails or skips is not judged. It is listed if the set-up does better.
//
// A binary that panics, ends early or hangs is reported. The tests that ran at that
// moment have failed; those that had not had their turn get it in another run of the
// binary, on a fresh rig.
//
// Stock's results are kept in a file beside the logs, and used again as long as what
// they depend on is the same.
package suites
