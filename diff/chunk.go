package diff

import "sync"

// chunkSize is how much is read, hashed and written at a time.
const chunkSize = 1 << 20

// zeros is what holes are made of.
var zeros [chunkSize]byte

// chunks are buffers of chunkSize bytes, which one layer after the other uses.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

func takeChunk() []byte { return chunks.Get().(*[chunkSize]byte)[:] }

// putChunk gives back what takeChunk returned. Nobody must use it any more.
func putChunk(b []byte) { chunks.Put((*[chunkSize]byte)(b[:chunkSize])) }
