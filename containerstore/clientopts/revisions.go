package clientopts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/lease"
)

// Revisions lists the revisions of a container that was made with containerd's
// client, the oldest first. The one that it is on, and writes to, is among them,
// and the only one that is Current.
func Revisions(ctx context.Context, cl *client.Client, id string) ([]containerstore.Revision, error) {
	p, err := look(ctx, cl, id)
	if err != nil {
		return nil, fmt.Errorf("list revisions of container %s: %w", id, err)
	}
	var list []containerstore.Revision
	for _, i := range p.revisions() {
		r, err := p.revisionOf(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("list revisions of container %s: %w", id, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// look finds a container and its snapshots, and changes nothing.
func look(ctx context.Context, cl *client.Client, id string) (*clientContainer, error) {
	c, err := cl.ContainerService().Get(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("look up its record: %w", err)
	}
	p := newContainer(cl, id, c.Snapshotter)
	p.record = &c
	if err := p.loadAll(ctx); err != nil {
		return nil, err
	}
	p.active = p.all[c.SnapshotKey]
	return p, nil
}

// revisions are those that count, by number.
func (p *clientContainer) revisions() []snapshots.Info {
	var list []snapshots.Info
	for _, i := range p.all {
		if number(i) > 0 && !isExchanged(i) && (i.Labels[label.Unwritten] == "" || i.Name == p.active.Name) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b snapshots.Info) int { return cmp.Compare(number(a), number(b)) })
	return list
}

func (p *clientContainer) revisionOf(ctx context.Context, i snapshots.Info) (containerstore.Revision, error) {
	r, err := containerstore.ReadRecord(ctx, p.Content, i)
	if err != nil {
		return containerstore.Revision{}, err
	}
	previous, _ := strconv.Atoi(i.Labels[label.Previous]) // 0 if there is none
	return containerstore.Revision{Record: r, Snapshot: i.Name, Previous: previous, Size: p.Measured(ctx, i), Current: i.Name == p.active.Name}, nil
}

// PruneRevisions removes revisions of a container that was made with containerd's
// client, and returns the numbers of those that it removed. That which the
// container is on does not count as one, and stays, as do those whose files are
// part of one that stays.
func PruneRevisions(ctx context.Context, cl *client.Client, id string, keep containerstore.Retention) ([]int, error) {
	p, err := look(ctx, cl, id)
	if err != nil {
		return nil, fmt.Errorf("prune revisions of container %s: %w", id, err)
	}
	list := slices.DeleteFunc(p.revisions(), func(i snapshots.Info) bool { return i.Name == p.active.Name })
	doomed := map[string]snapshots.Info{}
	for _, i := range list[:max(0, len(list)-max(0, keep.Keep))] {
		if time.Since(i.Created) < keep.OlderThan {
			break // a revision is what keeps those before it
		}
		doomed[i.Name] = i
	}
	gone, err := p.removeLeaves(ctx, doomed)
	if err != nil {
		err = fmt.Errorf("prune revisions of container %s: %w", id, err)
	}
	return gone, err
}

// removeLeaves removes snapshots as long as nothing of the container stands on
// them, and returns the numbers of those that are gone.
func (p *clientContainer) removeLeaves(ctx context.Context, doomed map[string]snapshots.Info) (gone []int, err error) {
	defer func() { slices.Sort(gone) }()
	parents := map[string]int{}
	for _, i := range p.all {
		parents[i.Parent]++
	}
	for again := true; again; {
		again = false
		for name, i := range doomed {
			if parents[name] > 0 {
				continue
			}
			err := p.Remove(ctx, name)
			if errdefs.IsFailedPrecondition(err) {
				// Something unknown stands on it. Or did: what was collected
				// containerd counts still, but not when it collects this one.
				parents[name]++
				continue
			}
			if err != nil {
				return gone, err
			}
			delete(doomed, name)
			delete(p.all, name)
			parents[i.Parent]--
			if n := number(i); n > 0 {
				gone = append(gone, n)
			}
			again = true
		}
	}
	return gone, nil
}

// Discard removes what [WithUpgrade] or [WithRollback] made for an Update that
// then failed, or whose process ended, and resumes a container as [Thaw] does. Nobody may be moving the container, or
// making a checkpoint of it, meanwhile.
func Discard(ctx context.Context, cl *client.Client, id string) error {
	if err := discard(ctx, cl, id); err != nil {
		return fmt.Errorf("discard what failed moves of container %s have left: %w", id, err)
	}
	return nil
}

func discard(ctx context.Context, cl *client.Client, id string) (err error) {
	p, err := look(ctx, cl, id)
	if err != nil {
		return err
	}
	ctx, end, err := operation(ctx, cl, "discard", id)
	if err != nil {
		return err
	}
	defer func() { end(err) }()
	if err := p.lookUpActive(ctx); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if err := p.settleAll(ctx, true); err != nil {
		return err
	}
	if err := p.thawLeft(ctx, true); err != nil {
		return err
	}
	return p.endLeases(ctx)
}

// endLeases deletes those of operations whose process ended.
func (p *clientContainer) endLeases(ctx context.Context) error {
	found, err := p.Leases.List(ctx, fmt.Sprintf("labels.%q,labels.%q==%q", lease.LabelOperation, lease.LabelObject, p.Container))
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	own, _ := leases.FromContext(ctx)
	for _, l := range found {
		if l.ID == own {
			continue
		}
		if err := p.Leases.Delete(ctx, l, leases.SynchronousDelete); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete lease %s: %w", l.ID, err)
		}
	}
	return nil
}

// WithRevisionCleanup removes all revisions of a container that is deleted, at
// once. It takes the place of client.WithSnapshotCleanup. With that, or with
// neither, containerd collects what is left some time later.
func WithRevisionCleanup(ctx context.Context, cl *client.Client, c containers.Container) error {
	if c.SnapshotKey == "" {
		return nil
	}
	p := newContainer(cl, c.ID, c.Snapshotter)
	if err := p.loadAll(ctx); err != nil {
		return fmt.Errorf("remove snapshots of container %s: %w", c.ID, err)
	}
	if _, ok := p.all[c.SnapshotKey]; !ok {
		if err := p.Remove(ctx, c.SnapshotKey); err != nil {
			return err
		}
	}
	doomed := map[string]snapshots.Info{}
	for name, i := range p.all {
		doomed[name] = i
	}
	if _, err := p.removeLeaves(ctx, doomed); err != nil {
		return fmt.Errorf("remove snapshots of container %s: %w", c.ID, err)
	}
	return nil
}
