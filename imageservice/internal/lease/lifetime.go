package lease

import (
	"context"
	"sync"
)

// life is the time until the daemon begins to shut down, and counts what is under way.
type life struct {
	ctx context.Context
	end context.CancelFunc

	mu   sync.Mutex
	n    int           // of operations
	idle chan struct{} // is closed when there are none; nil if nobody waits for that
}

func newLife() *life {
	ctx, end := context.WithCancel(context.Background())
	return &life{ctx: ctx, end: end}
}

// begin counts an operation, and returns a context that ends with the life, too. The
// operation calls done when it has cleaned up.
func (l *life) begin(ctx context.Context) (_ context.Context, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(l.ctx, cancel)
	return ctx, sync.OnceFunc(func() {
		forget()
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.n--; l.n == 0 && l.idle != nil {
			close(l.idle)
			l.idle = nil
		}
	})
}

// wait returns a channel that is closed when no operation is under way.
func (l *life) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := l.idle
	if idle == nil {
		idle = make(chan struct{})
		if l.n == 0 {
			close(idle)
		} else {
			l.idle = idle
		}
	}
	return idle
}

// Live counts work that has no lease of its own, and returns a context that ends at
// shutdown, too. The work calls done when it has cleaned up.
func (o *Operations) Live(ctx context.Context) (_ context.Context, done func()) {
	return o.life.begin(ctx)
}

// Shutdown ends the operations that are under way, and waits until they have cleaned up, or
// until ctx ends.
func (o *Operations) Shutdown(ctx context.Context) {
	o.life.end()
	select {
	case <-o.life.wait():
	case <-ctx.Done():
	}
}
