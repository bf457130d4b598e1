package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"

	"github.com/baleen-project/baleen/imageservice"
)

// baleenState is what the daemon keeps for Baleen. Its zero value is ready.
type baleenState struct {
	mu     sync.Mutex
	work   map[string]*work // by container id
	images keptImages
}

// work is one operation on the revisions of a container. There is one at a
// time for each container.
type work struct {
	what   string // "an upgrade"
	cancel context.CancelFunc
	done   chan struct{}
	closed bool // nobody else may start the container; baleenState.mu
}

type workKey struct{}

// begin notes that an operation on a container's revisions goes on, until end
// is called. Its context ends when the container is removed by force, and not
// with the request: a switch that has begun is brought to its end.
func (daemon *Daemon) begin(ctx context.Context, name, what string) (context.Context, *container.Container, *imageservice.Service, func(), error) {
	service, err := daemon.baleenService()
	if err != nil {
		return nil, nil, nil, nil, err
	}
	c, err := daemon.GetContainer(name)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &work{what: what, cancel: cancel, done: make(chan struct{})}
	ctx = context.WithValue(ctx, workKey{}, w)
	if other := daemon.baleen.add(c.ID, w); other != nil {
		cancel()
		return nil, nil, nil, nil, errdefs.Conflict(fmt.Errorf("container %s is busy: %s is under way", bare(c), other.what))
	}
	end := func() {
		cancel()
		daemon.baleen.remove(c.ID)
		close(w.done)
	}
	// Whoever removes the container says so first and looks for work then.
	if c.IsRemovalInProgress() || c.IsDead() {
		end()
		return nil, nil, nil, nil, errdefs.Conflict(fmt.Errorf("container %s is marked for removal", bare(c)))
	}
	c.Lock()
	err = daemon.loadAgain(ctx, c)
	c.Unlock()
	if err != nil {
		end()
		return nil, nil, nil, nil, err
	}
	return ctx, c, service, end, nil
}

func (b *baleenState) add(id string, w *work) (other *work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if other := b.work[id]; other != nil {
		return other
	}
	if b.work == nil {
		b.work = map[string]*work{}
	}
	b.work[id] = w
	b.images.forget()
	return nil
}

func (b *baleenState) remove(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.work, id)
	b.images.forget()
}

func (b *baleenState) find(id string) *work {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.work[id]
}

// close keeps all others from starting the container of the operation that ctx
// belongs to, and open lets them again.
func (b *baleenState) close(ctx context.Context) { b.setClosed(ctx, true) }

func (b *baleenState) open(ctx context.Context) { b.setClosed(ctx, false) }

func (b *baleenState) setClosed(ctx context.Context, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w, ok := ctx.Value(workKey{}).(*work); ok {
		w.closed = closed
	}
}

// mayStart keeps a container from starting while its files are switched, or cannot
// be used. It is called with the container locked, at every start.
func (daemon *Daemon) mayStart(ctx context.Context, c *container.Container) error {
	if err := daemon.baleen.mayStart(ctx, c); err != nil {
		return err
	}
	return daemon.loadAgain(ctx, c)
}

func (b *baleenState) mayStart(ctx context.Context, c *container.Container) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.work[c.ID]
	if w == nil || !w.closed || ctx.Value(workKey{}) == w {
		return nil
	}
	return errdefs.Conflict(fmt.Errorf("cannot start container %s: %s is under way", bare(c), w.what))
}

// endWork comes before the removal of a container: an operation on its
// revisions keeps it from being removed, but is called off by force.
func (daemon *Daemon) endWork(c *container.Container, opts *backend.ContainerRmConfig) error {
	w := daemon.baleen.find(c.ID)
	if w == nil {
		return daemon.endUnrecorded(c, opts.ForceRemove)
	}
	if !opts.ForceRemove {
		return errdefs.Conflict(fmt.Errorf("container %s is busy: %s is under way: wait for it, or force remove", bare(c), w.what))
	}
	w.cancel()
	if err := daemon.Kill(c); err != nil && !isNotRunning(err) {
		return fmt.Errorf("could not kill container: %w", err)
	}
	<-w.done
	return daemon.endUnrecorded(c, true)
}

// shutdownPatience is how long operations may take to clean up when the daemon shuts
// down. What takes longer is cleaned up after by the next start.
const shutdownPatience = 5 * time.Second

// endOperations ends what is under way when the daemon begins to shut down.
func (daemon *Daemon) endOperations(ctx context.Context) {
	service, err := daemon.baleenService()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shutdownPatience)
	defer cancel()
	service.Shutdown(ctx)
}

// baleenService is Baleen's image service, if the daemon has it.
func (daemon *Daemon) baleenService() (*imageservice.Service, error) {
	if s, ok := daemon.imageService.(*imageservice.Service); ok {
		return s, nil
	}
	return nil, errdefs.NotImplemented(fmt.Errorf("revisions of containers need the containerd image store: the feature containerd-snapshotter is off"))
}

// bare is a container's name for a person.
func bare(c *container.Container) string {
	return strings.TrimPrefix(c.Name, "/")
}
