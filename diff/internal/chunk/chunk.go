package chunk

import "sync"

// Size is how much is read, hashed and written at a time.
const Size = 1 << 20

// Zeros is what holes are made of.
var Zeros [Size]byte

// chunks are buffers of Size bytes, which one layer after the other uses.
var chunks = sync.Pool{New: func() any { return new([Size]byte) }}

// Take returns a buffer of Size bytes, whose content is anything.
func Take() []byte { return chunks.Get().(*[Size]byte)[:] }

// Put gives back what Take returned. Nobody must use it any more.
func Put(b []byte) { chunks.Put((*[Size]byte)(b[:Size])) }
