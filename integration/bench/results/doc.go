// Package results holds what the benchmark has measured and shows it: as a table,
// as JSON, and against the targets that the project has set itself.
//
// # Words
//
// A case is one thing to measure: a workload, on an image of some size, on a
// volume, and an action such as commit. A contestant is who does it. A series is
// one case for one contestant, a sample one measurement of it. A limit is a
// contestant that only shows what the machine could do. The reference is the
// contestant that the others are compared with, the fork.
//
// Nothing is dropped: a series keeps its failures, and the table shows them.
package results
