package imageservice

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BytesFunc is told how far a step has got, in bytes; total is 0 if it is not
// known. It is not called by several at a time.
type BytesFunc func(current, total int64)

// meterEvery is how often a BytesFunc is called at most, but for the end.
const meterEvery = 200 * time.Millisecond

// meteredFrom is the size of a step, in bytes, from which on its progress is told.
const meteredFrom = 4 << 20

// meter counts the bytes of one step. A nil one does not.
type meter struct {
	tell BytesFunc

	mu             sync.Mutex
	current, total int64
	told           time.Time
}

type bytesKey struct{}

// withBytes returns a context in which it is told how far large steps have got.
func withBytes(ctx context.Context, tell BytesFunc) context.Context {
	if tell == nil {
		return ctx
	}
	return context.WithValue(ctx, bytesKey{}, tell)
}

// newMeter begins a step. Of a small one, or if nobody asks, nothing is counted.
func newMeter(ctx context.Context, total int64) *meter {
	tell, ok := ctx.Value(bytesKey{}).(BytesFunc)
	if !ok || total > 0 && total < meteredFrom {
		return nil
	}
	return &meter{tell: tell, total: total, told: time.Now()}
}

func (m *meter) add(n int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current += n
	if m.total > 0 { // the same may be written twice, as a file that is linked
		m.current = min(m.current, m.total)
	}
	if whole := m.total > 0 && m.current == m.total; !whole && time.Since(m.told) < meterEvery {
		return
	}
	m.told = time.Now()
	m.tell(m.current, m.total)
}

// meteredStore counts what is read of blobs.
type meteredStore struct {
	content.Store
	meter *meter
}

func (s meteredStore) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	blob, err := s.Store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return meteredReaderAt{blob, s.meter}, nil
}

type meteredReaderAt struct {
	content.ReaderAt
	meter *meter
}

func (r meteredReaderAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	r.meter.add(int64(n))
	return n, err
}
