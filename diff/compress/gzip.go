package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"

	"github.com/baleen-project/baleen/diff/internal/chunk"
)

const (
	// gzipBlock is how much is compressed at a time, each block by one thread. The
	// bytes depend on it, so it never changes with the machine.
	gzipBlock = 1 << 20
	// gzipTail is how much of the block before is the dictionary of a block. The
	// bytes depend on it, too.
	gzipTail = 16 << 10
)

// gzipBlock and gzipTail, and so the bytes, are those of github.com/klauspost/pgzip
// 1.2, which packed the layers of Baleen 0.1.

// deflateMost is the level of the library that gzip's highest is packed with. Its own
// highest, 9, takes 1.6 s for a MiB of one byte that repeats, five hundred times as
// long as 8, to a result nine times as large (klauspost/compress 1.18); what a
// container holds must not decide on that.
const deflateMost = 8

// gzipWriter compresses blocks in parallel, and writes them in their order. It
// writes to w from the goroutine of its caller alone.
type gzipWriter struct {
	w      io.Writer
	level  int
	begun  bool
	block  *gzipJob   // that is being filled
	queue  []*gzipJob // that are being compressed, in their order
	tail   []byte     // the end of the block before
	sum    uint32
	size   uint32 // modulo 2^32, as RFC 1952 has it
	err    error  // the first one
	closed bool
}

// gzipWriters counts the writers that are open. They share the processors: each
// has fewer blocks in memory, the more there are.
var gzipWriters atomic.Int64

func newGzipWriter(w io.Writer, level int) *gzipWriter {
	gzipWriters.Add(1)
	return &gzipWriter{w: w, level: level}
}

// ahead is how many blocks may be compressed while the next one is filled.
func ahead() int {
	threads := min(runtime.GOMAXPROCS(0), maxThreads)
	return max(1, threads/int(max(1, gzipWriters.Load())))
}

// gzipJob is one block. It is read and written by its compressing goroutine until
// done receives.
type gzipJob struct {
	in   []byte
	dict []byte // the end of the block before; empty for the first
	out  bytes.Buffer
	last bool
	done chan error // of size 1
}

var (
	gzipJobs = sync.Pool{New: func() any {
		return &gzipJob{in: make([]byte, 0, gzipBlock), dict: make([]byte, 0, gzipTail), done: make(chan error, 1)}
	}}
	// deflaters are compressors, by level: one takes about 1 MiB.
	deflaters [gzipMost + 1]sync.Pool
)

func (z *gzipWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && z.err == nil {
		if z.block == nil {
			z.begin()
		}
		n := min(len(p), gzipBlock-len(z.block.in))
		z.block.in = append(z.block.in, p[:n]...)
		p, written = p[n:], written+n
		if len(z.block.in) == gzipBlock {
			z.submit(false)
		}
	}
	return written, z.err
}

// begin takes a block to fill.
func (z *gzipWriter) begin() {
	job, _ := gzipJobs.Get().(*gzipJob)
	job.in, job.last = job.in[:0], false
	job.dict = append(job.dict[:0], z.tail...)
	job.out.Reset()
	z.block = job
}

// submit has the block compressed, and writes those that are done. It waits if too
// many are not.
func (z *gzipWriter) submit(last bool) {
	job := z.block
	z.block = nil
	job.last = last
	z.sum = crc32.Update(z.sum, crc32.IEEETable, job.in)
	z.size += uint32(len(job.in))
	if z.tail = z.tail[:0]; len(job.in) > gzipTail {
		z.tail = append(z.tail, job.in[len(job.in)-gzipTail:]...)
	}
	z.queue = append(z.queue, job)
	go job.compress(z.level)
	for len(z.queue) > ahead() {
		z.next()
	}
}

// next writes the block that comes next, when it is done.
func (z *gzipWriter) next() {
	job := z.queue[0]
	z.queue = z.queue[1:]
	err := <-job.done
	if z.err == nil && err == nil && !z.begun {
		z.begun = true
		_, err = z.w.Write(z.header())
	}
	if z.err == nil && err == nil {
		_, err = z.w.Write(job.out.Bytes())
	}
	if z.err == nil {
		z.err = err
	}
	gzipJobs.Put(job)
}

// header is that of RFC 1952 without a name or time.
func (z *gzipWriter) header() []byte {
	const (
		deflate, unknownSystem = 8, 255
		best, fastest          = 2, 4
	)
	h := []byte{0x1f, 0x8b, deflate, 0, 0, 0, 0, 0, 0, unknownSystem}
	switch z.level {
	case gzipMost:
		h[8] = best
	case 1:
		h[8] = fastest
	}
	return h
}

// Close ends the stream. It does not close w.
func (z *gzipWriter) Close() error {
	if z.closed {
		return z.err
	}
	z.closed = true
	if z.err == nil {
		if z.block == nil {
			z.begin()
		}
		z.submit(true)
	}
	for len(z.queue) > 0 {
		z.next()
	}
	gzipWriters.Add(-1)
	if z.err != nil {
		return z.err
	}
	var end [8]byte
	binary.LittleEndian.PutUint32(end[:4], z.sum)
	binary.LittleEndian.PutUint32(end[4:], z.size)
	_, z.err = z.w.Write(end[:])
	return z.err
}

func (j *gzipJob) compress(level int) {
	if j.zeros() {
		packed, err := zeroBlocks[level]()
		j.out.Write(packed)
		j.done <- err
		return
	}
	j.done <- j.deflate(level)
}

// zeros reports whether the block is one of many in a hole: zeros behind zeros.
func (j *gzipJob) zeros() bool {
	return !j.last && len(j.in) == gzipBlock && len(j.dict) == gzipTail &&
		bytes.Equal(j.in, chunk.Zeros[:gzipBlock]) && bytes.Equal(j.dict, chunk.Zeros[:gzipTail])
}

// zeroBlocks compress such a block, once for each level: a hole costs no more than
// its digest.
var zeroBlocks = func() (by [gzipMost + 1]func() ([]byte, error)) {
	for level := range by {
		by[level] = sync.OnceValues(func() ([]byte, error) {
			j := &gzipJob{in: chunk.Zeros[:gzipBlock], dict: chunk.Zeros[:gzipTail]}
			err := j.deflate(level)
			return slices.Clip(j.out.Bytes()), err
		})
	}
	return by
}()

// deflate compresses the block by RFC 1951, up to the border of a byte.
func (j *gzipJob) deflate(level int) error {
	z, ok := deflaters[level].Get().(*flate.Writer)
	if !ok {
		var err error
		if z, err = flate.NewWriterDict(nil, min(level, deflateMost), nil); err != nil {
			return err
		}
	}
	z.ResetDict(&j.out, j.dict)
	_, err := z.Write(j.in)
	if err = errors.Join(err, z.Flush()); err == nil && j.last {
		err = z.Close()
	}
	deflaters[level].Put(z)
	return err
}
