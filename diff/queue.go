package diff

import (
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// hashBuffers is how many buffers go round in a hashQueue.
const hashBuffers = 4

// hashQueue digests a stream in a goroutine of its own, so that a second
// processor can do it. Its buffers go round: one is taken from it, filled,
// given back to be digested, and comes again. One goroutine takes buffers, one
// gives them back.
type hashQueue struct {
	work chan *sharedChunk
	free chan []byte
	sum  chan digest.Digest
	made int
}

func newHashQueue() *hashQueue {
	q := &hashQueue{
		work: make(chan *sharedChunk, hashBuffers),
		free: make(chan []byte, hashBuffers),
		sum:  make(chan digest.Digest, 1),
	}
	go q.run()
	return q
}

func (q *hashQueue) run() {
	h := digest.Canonical.Hash()
	for c := range q.work {
		h.Write(c.data)
		c.release()
	}
	q.sum <- digest.NewDigest(digest.Canonical, h)
}

// buffer returns room of chunkSize bytes. It waits if all buffers are in use,
// and returns nil if stop is closed meanwhile.
func (q *hashQueue) buffer(stop <-chan struct{}) []byte {
	select {
	case b := <-q.free:
		return b
	default:
	}
	if q.made < hashBuffers {
		q.made++
		return takeChunk()
	}
	select {
	case b := <-q.free:
		return b
	case <-stop:
		return nil
	}
}

// sharedChunk is a piece of the stream with two readers: the digest and the
// caller. Its buffer is free when both have released it.
type sharedChunk struct {
	q    *hashQueue
	data []byte
	refs atomic.Int32
}

// share gives data, which lies in a buffer of the queue, to be digested. The
// caller may read it too until it calls release.
func (q *hashQueue) share(data []byte) *sharedChunk {
	c := &sharedChunk{q: q, data: data}
	c.refs.Store(2)
	q.work <- c
	return c
}

func (c *sharedChunk) release() {
	if c.refs.Add(-1) == 0 {
		c.q.free <- c.data[:chunkSize]
	}
}

// close ends the stream and returns its digest. What has been shared is released
// by then.
func (q *hashQueue) close() digest.Digest {
	close(q.work)
	sum := <-q.sum
	for {
		select {
		case b := <-q.free:
			putChunk(b)
		default:
			return sum
		}
	}
}
