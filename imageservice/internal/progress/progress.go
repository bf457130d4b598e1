package progress

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Func is told how far a step has got, in bytes; total is 0 if it is not
// known. It is not called by several at a time.
type Func func(current, total int64)

// every is how often a Func is called at most, but for the end.
const every = 200 * time.Millisecond

// leastTotal is the size of a step, in bytes, from which on its progress is told.
const leastTotal = 4 << 20

// Meter counts the bytes of one step. A nil Meter counts nothing.
type Meter struct {
	tell Func

	mu             sync.Mutex
	current, total int64
	told           time.Time
}

type funcKey struct{}

// With returns a context in which tell is told how far large steps have got. It is not
// changed if tell is nil.
func With(ctx context.Context, tell Func) context.Context {
	if tell == nil {
		return ctx
	}
	return context.WithValue(ctx, funcKey{}, tell)
}

// NewMeter begins a step of total bytes; 0 is an unknown number. It returns nil for a small
// step, and if the context has no [Func].
func NewMeter(ctx context.Context, total int64) *Meter {
	tell, ok := ctx.Value(funcKey{}).(Func)
	if !ok || total > 0 && total < leastTotal {
		return nil
	}
	return &Meter{tell: tell, total: total, told: time.Now()}
}

// Add counts bytes.
func (m *Meter) Add(n int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current += n
	if m.total > 0 { // the same may be written twice, as a file that is linked
		m.current = min(m.current, m.total)
	}
	if whole := m.total > 0 && m.current == m.total; !whole && time.Since(m.told) < every {
		return
	}
	m.told = time.Now()
	m.tell(m.current, m.total)
}

// Store is a content store, and counts what is read of its blobs.
type Store struct {
	content.Store
	Meter *Meter
}

// ReaderAt opens a blob.
func (s Store) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	blob, err := s.Store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return readerAt{blob, s.Meter}, nil
}

type readerAt struct {
	content.ReaderAt
	meter *Meter
}

func (r readerAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	r.meter.Add(int64(n))
	return n, err
}
