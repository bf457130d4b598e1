package containerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// Retention says which revisions are pruned: those that are neither among the
// newest Keep nor younger than OlderThan. The zero value prunes all.
type Retention struct {
	Keep      int
	OlderThan time.Duration
	// Merge says to merge the layers of removed revisions on which the container stands
	// with those above, if it has written nothing since its revision, and if they weigh at
	// least as much as these. Nobody can start or mount the container meanwhile.
	Merge bool
}

// Pruned says what a Prune did.
type Pruned struct {
	Removed []int // by number in ascending order
	Bytes   int64 // given back on disk: nothing else needs them
	// Held are the bytes of removed revisions that stay on disk, because the container or
	// a revision that stays has files of them.
	Held int64
}

// Prune removes revisions. The layer of a revision in the middle of a stack holds files of
// those above, so it stays as a layer that is no revision, until nothing stands on it or
// the stack is merged ([Retention].Merge); it is removed by a later Prune.
func (h *History) Prune(ctx context.Context, keep Retention) (Pruned, error) {
	t, err := h.open(ctx)
	if err != nil {
		return Pruned{}, err
	}
	if keep.Keep < 0 || keep.OlderThan < 0 {
		return Pruned{}, fmt.Errorf("prune: a limit below zero: %w", errdefs.ErrInvalidArgument)
	}
	// The highest number must be known also when its revision is gone.
	doomed := h.doomed(ctx, t, keep, time.Now())
	if len(doomed) > 0 {
		if err := h.store().Label(ctx, h.Container, map[string]string{label.Last: fmt.Sprint(t.last())}); err != nil {
			return Pruned{}, err
		}
	}
	var p Pruned
	if p.Bytes, err = h.removeAll(ctx, t, doomed); err != nil {
		return Pruned{}, err
	}
	for n := range doomed {
		if err := h.retire(ctx, t, n); err != nil {
			return Pruned{}, err
		}
		p.Removed = append(p.Removed, n)
	}
	slices.Sort(p.Removed)
	if keep.Merge {
		freed, err := h.collapse(ctx)
		if err != nil {
			return Pruned{}, err
		}
		p.Bytes += freed
	}
	p.Held, err = h.held(ctx, p.Removed)
	return p, err
}

// doomed are the revisions that are to go.
func (h *History) doomed(ctx context.Context, t *tree, keep Retention, now time.Time) map[int]bool {
	numbers := t.numbers()
	slices.Sort(numbers)
	numbers = numbers[:max(0, len(numbers)-keep.Keep)]
	doomed := map[int]bool{}
	for _, n := range numbers {
		i, _ := t.revision(n)
		if n != t.standsOn(*t.active) && now.Sub(h.madeAt(ctx, i, keep)) >= keep.OlderThan {
			doomed[n] = true
		}
	}
	return doomed
}

// madeAt is when a revision was made: merging layers does not make it younger. That is not
// looked up if its age does not matter.
func (h *History) madeAt(ctx context.Context, i snapshots.Info, keep Retention) time.Time {
	if mark, _, _, _ := numbered(h.Container, i.Name); mark != compactionMark || keep.OlderThan == 0 {
		return i.Created
	}
	r, err := ReadRecord(ctx, h.Content, i)
	if err != nil || r.Created.IsZero() {
		return i.Created
	}
	return r.Created
}

// removeAll removes the snapshots of revisions from the top, as long as nothing
// stands on them, and takes them out of the tree. It returns what that gives back.
func (h *History) removeAll(ctx context.Context, t *tree, doomed map[int]bool) (_ int64, err error) {
	children := t.children()
	var freed reclaim
	defer func() { err = errors.Join(err, freed.shared.Close()) }()
	for {
		var leaf *snapshots.Info
		for _, i := range t.all {
			if children[i.Name] == 0 && t.superfluous(i, doomed) {
				leaf = &i
				break
			}
		}
		if leaf == nil {
			return freed.bytes, nil
		}
		removed, err := h.removeLeaf(ctx, *leaf, &freed)
		if err != nil {
			return freed.bytes, err
		}
		if !removed {
			children[leaf.Name]++
			continue
		}
		children[leaf.Parent]--
		delete(t.all, leaf.Name)
	}
}

// removeLeaf removes the snapshot of a revision, and counts it in freed. It does not
// remove one on which something unknown stands.
func (h *History) removeLeaf(ctx context.Context, leaf snapshots.Info, freed *reclaim) (removed bool, err error) {
	var size reclaim
	defer func() { err = errors.Join(err, size.shared.Close()) }()
	unmeasured := size.measure(ctx, h, leaf)
	err = h.store().Remove(ctx, leaf.Name)
	if errdefs.IsFailedPrecondition(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if unmeasured = errors.Join(unmeasured, freed.add(&size)); unmeasured != nil {
		log.G(ctx).WithError(unmeasured).WithField("snapshot", leaf.Name).Warn("could not measure a revision that is pruned")
	}
	return true, nil
}

// superfluous reports whether a snapshot can go, if nothing stands on it.
func (t *tree) superfluous(i snapshots.Info, doomed map[int]bool) bool {
	mark, n, _, ok := numbered(t.id, i.Name)
	if !ok {
		return false
	}
	if doomed[n] || strings.HasSuffix(i.Name, initSuffix) || i.Labels[label.Record] == "" {
		return true
	}
	if mark == compactionMark {
		// The container did not get there, and stands on what was merged.
		return t.inStack(t.id + revisionMark + fmt.Sprint(n))
	}
	// The merged layers stand for the revision too.
	_, merged := t.all[t.id+compactionMark+fmt.Sprint(n)]
	return merged
}
