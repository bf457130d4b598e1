package clientopts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/containerstore/lease"
)

// unwrittenAtBirth is the label.Unwritten of a new container's snapshot: once
// the container exists, it is either on that snapshot or made by somebody else.
const unwrittenAtBirth = "birth"

// claimTime is how long a claim lasts that its maker does not renew, and how
// long an Update may take to write what an option has made.
const claimTime = time.Minute

// clientContainer is a container that was made with containerd's client.
type clientContainer struct {
	*snap.Store
	client *client.Client
	record *containers.Container
	all    map[string]snapshots.Info // by name: revisions, and what else was made for it
	active snapshots.Info
	claim  string // the snapshot that says that it is being moved here
}

func newContainer(cl *client.Client, id, snapshotterName string) *clientContainer {
	return &clientContainer{client: cl, Store: &snap.Store{
		Container: id, Snapshotter: snapshotterName, Snapshots: cl.SnapshotService(snapshotterName),
		Content: cl.ContentStore(), Leases: cl.LeasesService(), Tasks: cl.TaskService(), Differ: cl.DiffService(),
	}}
}

// openContainer looks at a container before it moves, and has nobody else move it
// before the function is called that it returns. It removes what earlier moves
// have left, and seals what they have left behind. A move of somebody else is
// errdefs.ErrConflict.
func openContainer(ctx context.Context, cl *client.Client, c *containers.Container) (*clientContainer, func(), error) {
	if c.Snapshotter == "" || c.SnapshotKey == "" {
		return nil, nil, fmt.Errorf("it has no snapshot: %w", errdefs.ErrFailedPrecondition)
	}
	p := newContainer(cl, c.ID, c.Snapshotter)
	p.record = c
	if err := p.NoTask(ctx); err != nil {
		return nil, nil, err
	}
	release, err := p.lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := p.openLocked(ctx); err != nil {
		release()
		return nil, nil, err
	}
	return p, release, nil
}

func (p *clientContainer) openLocked(ctx context.Context) error {
	if err := p.loadAll(ctx); err != nil {
		return err
	}
	if err := p.unmoved(ctx); err != nil {
		return err
	}
	key := p.record.SnapshotKey
	active, err := p.Snapshots.Stat(ctx, key)
	if err != nil {
		return fmt.Errorf("look up snapshot %s: %w", key, err)
	}
	if active.Kind != snapshots.KindActive {
		return fmt.Errorf("its snapshot %s is not one to write to: %w", key, errdefs.ErrFailedPrecondition)
	}
	if owner := active.Labels[label.Container]; owner != "" && owner != p.Container {
		return fmt.Errorf("its snapshot %s is of container %s: %w", key, owner, errdefs.ErrFailedPrecondition)
	}
	p.active = active
	return p.settleAll(ctx, false)
}

func (p *clientContainer) loadAll(ctx context.Context) error {
	p.all = map[string]snapshots.Info{}
	err := p.Snapshots.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		p.all[i.Name] = i
		return nil
	}, fmt.Sprintf("labels.%q==%q", label.Container, p.Container))
	if err != nil {
		return fmt.Errorf("list its snapshots: %w", err)
	}
	return nil
}

// unmoved makes sure that the container is still on the snapshot that the
// caller's record of it says.
func (p *clientContainer) unmoved(ctx context.Context) error {
	now, err := p.client.ContainerService().Get(ctx, p.Container)
	if err != nil {
		return fmt.Errorf("look up its record: %w", err)
	}
	if now.SnapshotKey != p.record.SnapshotKey {
		return fmt.Errorf("it has been moved meanwhile: %w", errdefs.ErrConflict)
	}
	return nil
}

// Ids have no colons, so these are never another container's.

func (p *clientContainer) activeName(n int) string { return p.Container + ":" + strconv.Itoa(n) }
func (p *clientContainer) sealedName(n int) string { return p.Container + ":r" + strconv.Itoa(n) }
func (p *clientContainer) claimName(n int) string  { return p.Container + ":claim" + strconv.Itoa(n) }

// number is a revision's; 0 if the snapshot is none.
func number(i snapshots.Info) int {
	n, _ := strconv.Atoi(i.Labels[label.Number]) // 0 if there is none
	return n
}

// current is the number of what the container is on: the first, if it was made
// without WithNewSnapshot.
func (p *clientContainer) current() int { return max(1, number(p.active)) }

// nextNumber is one that was never used.
func (p *clientContainer) nextNumber() int {
	last := p.current()
	for _, i := range append(slices.Collect(maps.Values(p.all)), p.active) {
		noted, _ := strconv.Atoi(i.Labels[label.Last]) // 0 if there is none
		last = max(last, number(i), noted)
	}
	return last + 1
}

// find returns the snapshot of a revision that the container is not on.
func (p *clientContainer) find(n int) (snapshots.Info, bool) {
	for _, i := range p.all {
		if number(i) == n && i.Name != p.active.Name {
			return i, true
		}
	}
	return snapshots.Info{}, false
}

// own returns how many layers of a snapshot of the container, from the top, are
// its own, and the snapshot of the image below them.
func (p *clientContainer) own(i snapshots.Info) (layers int, base string) {
	layers, base = 1, i.Parent
	for {
		below, ok := p.all[base]
		if !ok {
			return layers, base
		}
		layers, base = layers+1, below.Parent
	}
}

// operation begins what has to be kept until it is referred to: it returns a
// context with a lease, and the function that ends it. A lease that the caller
// has is used, and is its own to end.
func operation(ctx context.Context, cl *client.Client, verb, id string) (context.Context, func(error), error) {
	if _, ok := leases.FromContext(ctx); ok {
		return ctx, func(error) {}, nil
	}
	under, remove, err := lease.Begin(ctx, cl.LeasesService(), 24*time.Hour, map[string]string{lease.LabelOperation: verb, lease.LabelObject: id})
	if err != nil {
		return nil, nil, err
	}
	return under, func(failure error) {
		if err := remove(failure); err != nil {
			log.G(ctx).WithError(err).Warn("could not delete the lease of an operation; it ends within a day")
		}
	}, nil
}

// snapshotterOf is the snapshotter that a new container has or gets.
func snapshotterOf(ctx context.Context, cl *client.Client, c *containers.Container) (string, error) {
	if c.Snapshotter != "" {
		return c.Snapshotter, nil
	}
	name, err := cl.GetLabel(ctx, defaults.DefaultSnapshotterNSLabel)
	if err != nil {
		return "", fmt.Errorf("look up the namespace's snapshotter: %w", err)
	}
	if name == "" {
		name = defaults.DefaultSnapshotter
	}
	return name, nil
}
