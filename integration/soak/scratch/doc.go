// Package scratch gives fuzzers a file system of their own, in memory, and tells
// what an execution left behind.
//
// A fuzzer executes thousands of times a second: it makes its folders once,
// empties them after each execution, and counts descriptors in place of asking
// each call. The file system is a tmpfs, in the mount namespace of the tests
// (see package mountns), of a fixed size: what fills it does not fill the disk.
package scratch
