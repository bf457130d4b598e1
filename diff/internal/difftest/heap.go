package difftest

import (
	"runtime"
	"testing"
)

// heap watches how much memory is in use while something is done.
type heap struct {
	before, most uint64
	calls, every int
}

// WatchHeap looks at each so many-th call of look.
func WatchHeap(every int) *heap {
	h := &heap{every: every}
	h.before = inUse()
	return h
}

// inUse is what is reachable: garbage does not count, so that the result does
// not depend on when it was collected.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (h *heap) Look() {
	if h.calls++; h.calls%h.every == 0 {
		h.most = max(h.most, inUse())
	}
}

// grown is by how many bytes the heap was larger than at first.
func (h *heap) grown() uint64 { return max(h.most, h.before) - h.before }

// Write looks at the heap too: a tar stream passes in pieces of some size.
func (h *heap) Write(p []byte) (int, error) {
	h.Look()
	return len(p), nil
}

// Within fails a test whose heap grew beyond a bound, or was not watched.
func (h *heap) Within(t *testing.T, bound uint64) {
	t.Helper()
	switch {
	case h.most == 0:
		t.Error("nobody looked at the heap")
	case h.grown() > bound:
		t.Errorf("the heap grew by %d bytes, more than %d", h.grown(), bound)
	}
	t.Logf("the heap grew by %d KiB", h.grown()>>10)
}
