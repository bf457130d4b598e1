// Package progress tells how far a large step has got, in bytes.
//
// Who wants to know puts a [Func] into the context ([With]); a step begins a [Meter] and
// adds what it has read or written.
package progress
