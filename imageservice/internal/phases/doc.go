// Package phases measures the phases of operations: as spans, as metrics, and as one line
// in the debug log for each operation.
package phases
