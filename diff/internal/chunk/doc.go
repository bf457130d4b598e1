// Package chunk has the buffers in which the content of layers is read, written and
// hashed: a pool of them, zeros for holes, and a queue that digests a stream in a
// goroutine of its own.
package chunk
