package chunk

import (
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// Buffers is how many buffers go round in a HashQueue.
const Buffers = 4

// HashQueue digests a stream in a goroutine of its own, so that a second
// processor can do it. Its buffers go round: one is taken from it, filled,
// given back to be digested, and comes again. One goroutine takes buffers, one
// gives them back.
type HashQueue struct {
	work chan *Shared
	free chan []byte
	sum  chan digest.Digest
	made int
}

// NewHashQueue begins to digest a stream. It always has to be closed.
func NewHashQueue() *HashQueue {
	q := &HashQueue{
		work: make(chan *Shared, Buffers),
		free: make(chan []byte, Buffers),
		sum:  make(chan digest.Digest, 1),
	}
	go q.run()
	return q
}

func (q *HashQueue) run() {
	h := digest.Canonical.Hash()
	for c := range q.work {
		h.Write(c.data)
		c.Release()
	}
	q.sum <- digest.NewDigest(digest.Canonical, h)
}

// Buffer returns room of Size bytes. It waits if all buffers are in use,
// and returns nil if stop is closed meanwhile.
func (q *HashQueue) Buffer(stop <-chan struct{}) []byte {
	select {
	case b := <-q.free:
		return b
	default:
	}
	if q.made < Buffers {
		q.made++
		return Take()
	}
	select {
	case b := <-q.free:
		return b
	case <-stop:
		return nil
	}
}

// Shared is a piece of the stream with two readers: the digest and the
// caller. Its buffer is free when both have released it.
type Shared struct {
	q    *HashQueue
	data []byte
	refs atomic.Int32
}

// Share gives data, which lies in a buffer of the queue, to be digested. The
// caller may read it too until it calls release.
func (q *HashQueue) Share(data []byte) *Shared {
	c := &Shared{q: q, data: data}
	c.refs.Store(2)
	q.work <- c
	return c
}

// Release says that one of the two readers is done.
func (c *Shared) Release() {
	if c.refs.Add(-1) == 0 {
		c.q.free <- c.data[:Size]
	}
}

// Close ends the stream and returns its digest. What has been shared is released
// by then.
func (q *HashQueue) Close() digest.Digest {
	close(q.work)
	sum := <-q.sum
	for {
		select {
		case b := <-q.free:
			Put(b)
		default:
			return sum
		}
	}
}
