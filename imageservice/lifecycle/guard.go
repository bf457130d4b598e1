package lifecycle

import (
	"context"
	"sync"

	"github.com/baleen-project/baleen/compat/moby"
)

// guard knows which operations are under way. Its zero value is ready.
type guard struct {
	mu   sync.Mutex
	work map[string]*work // by container id
}

// work is one operation on the revisions of a container. There is one at a time for each
// container.
type work struct {
	what   string // "an upgrade"
	cancel context.CancelFunc
	done   chan struct{}
	closed bool // nobody else may start the container; guard.mu
}

type workKey struct{}

// Do does an operation on a container's revisions; what is its name, with its article.
// It is refused if another one is under way for the container. The context of do ends
// when the container is removed by force, and with ctx. The container is not locked.
func (o *Operations) Do(ctx context.Context, name, what string, do func(context.Context, *moby.Container) error) error {
	request := ctx
	ctx, c, end, err := o.Begin(ctx, name, what)
	if err != nil {
		return err
	}
	defer end()
	ctx, stop := until(ctx, request)
	defer stop()
	return do(ctx, c)
}

// Begin notes that an operation on a container's revisions is under way, until end is
// called. The context that it returns ends when the container is removed by force, and
// not with ctx: a switch that has begun is brought to its end.
func (o *Operations) Begin(ctx context.Context, name, what string) (_ context.Context, _ *moby.Container, end func(), err error) {
	return o.begin(ctx, name, what, o.usable)
}

// begin is Begin with what says why the container cannot have the operation.
func (o *Operations) begin(ctx context.Context, name, what string, usable func(context.Context, *moby.Container) error) (_ context.Context, _ *moby.Container, end func(), err error) {
	if o == nil {
		return nil, nil, nil, ErrOff()
	}
	c, err := o.daemon.GetContainer(name)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &work{what: what, cancel: cancel, done: make(chan struct{})}
	ctx = context.WithValue(ctx, workKey{}, w)
	if other := o.guard.add(c.ID, w); other != nil {
		cancel()
		return nil, nil, nil, conflict("container %s is busy: %s is under way", bare(c), other.what)
	}
	o.images.forget()
	end = func() {
		cancel()
		o.guard.remove(c.ID)
		o.images.forget()
		close(w.done)
	}
	if err := usable(ctx, c); err != nil {
		end()
		return nil, nil, nil, err
	}
	return ctx, c, end, nil
}

// usable says why a container cannot have an operation that has just been noted.
func (o *Operations) usable(ctx context.Context, c *moby.Container) error {
	// Whoever removes the container says so first and looks for operations then.
	if c.State.IsRemovalInProgress() || c.State.IsDead() {
		return conflict("container %s is marked for removal", bare(c))
	}
	c.State.Lock()
	defer c.State.Unlock()
	return o.loadAgain(ctx, c)
}

// add notes an operation. If another is under way it returns that, and notes nothing.
func (g *guard) add(id string, w *work) (other *work) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if other := g.work[id]; other != nil {
		return other
	}
	if g.work == nil {
		g.work = map[string]*work{}
	}
	g.work[id] = w
	return nil
}

func (g *guard) remove(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.work, id)
}

func (g *guard) find(id string) *work {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.work[id]
}

// close keeps all others from starting the container of the operation that ctx belongs
// to, and open lets them again.
func (g *guard) close(ctx context.Context) { g.setClosed(ctx, true) }

func (g *guard) open(ctx context.Context) { g.setClosed(ctx, false) }

func (g *guard) setClosed(ctx context.Context, closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w, ok := ctx.Value(workKey{}).(*work); ok {
		w.closed = closed
	}
}

// MayStart returns an error if a container must not be started: while its files are
// switched, or if they cannot be used. The daemon calls it at every start, with the
// container locked.
func (o *Operations) MayStart(ctx context.Context, c *moby.Container) error {
	if o == nil {
		return nil
	}
	if err := o.guard.mayStart(ctx, c); err != nil {
		return err
	}
	return o.loadAgain(ctx, c)
}

func (g *guard) mayStart(ctx context.Context, c *moby.Container) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.work[c.ID]
	if w == nil || !w.closed || ctx.Value(workKey{}) == w {
		return nil
	}
	return conflict("cannot start container %s: %s is under way", bare(c), w.what)
}
