package containerstore

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
)

// collapse merges the layers of removed revisions on which the container stands into the
// revisions right above them, and removes them. It returns how many bytes that gives back:
// those of files that no revision has any more.
//
// What is above these layers is copied, so nothing is done while that weighs more than they
// do. Nor is it if the container is in use or has written anything since its revision, for
// its active snapshot is made again, or where snapshots are no stacks of folders. A merge
// that fails is logged, and leaves the layers; what it has made is removed, now or by the
// next prune.
func (h *History) collapse(ctx context.Context) (freed int64, _ error) {
	t, err := h.load(ctx)
	if err != nil || !t.settled() {
		return 0, err
	}
	groups, base := t.collapsible()
	if len(groups) == 0 || !h.worthwhile(ctx, t, groups) || !h.canRestack(ctx, t) {
		return 0, nil
	}
	made, on, err := h.mergeGroups(ctx, t, groups, base)
	switch {
	case errors.Is(err, diff.ErrUnsupported):
		return 0, nil
	case err == nil:
		_, err = h.restack(ctx, t, on, t.active.Labels[label.State])
	}
	if t, err = h.compacted(ctx, t, true, err); err != nil {
		return 0, err
	}
	var copied int64
	for _, name := range made {
		if i, ok := t.all[name]; ok {
			copied += max(0, h.store().Measured(ctx, i))
		}
	}
	freed, err = h.removeAll(ctx, t, nil)
	return max(0, freed-copied), err
}

// mergeGroups makes a layer of each group, the lowest first, and returns their names and
// the topmost.
func (h *History) mergeGroups(ctx context.Context, t *tree, groups [][]string, on string) (made []string, _ string, _ error) {
	for n := len(groups) - 1; n >= 0; n-- {
		top := t.all[groups[n][0]]
		name := h.compactionKey(h.numberOf(top.Name))
		if err := h.store().Merge(ctx, name, top, on, len(groups[n])); err != nil {
			ctx, cancel := snap.Cleanup(ctx)
			defer cancel()
			for _, name := range slices.Backward(made) {
				err = errors.Join(err, h.store().Remove(ctx, name))
			}
			return nil, "", err
		}
		made, on = append(made, name), name
	}
	return made, on, nil
}

// canRestack reports whether the container is idle, and has written nothing since its
// revision. What it did to its root directory must not keep it from being pruned.
func (h *History) canRestack(ctx context.Context, t *tree) bool {
	err := h.Idle(ctx)
	unwritten := false
	if err == nil {
		unwritten, err = h.store().IsUnwritten(ctx, *t.active)
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", h.Container).Debug("not merging the layers of removed revisions")
	}
	return unwritten
}

// worthwhile reports whether the revisions of groups weigh no more than the layers below
// them that are none. So what is copied again and again stays within what is removed.
func (h *History) worthwhile(ctx context.Context, t *tree, groups [][]string) bool {
	var kept, removed int64
	for _, group := range groups {
		for at, name := range group {
			size := h.store().Measured(ctx, t.all[name])
			switch {
			case size < 0:
				return false
			case at == 0:
				kept += size
			default:
				removed += size
			}
		}
	}
	return kept <= removed
}

// collapsible returns what can be merged of the layers that the container stands on, from
// the top: groups of a revision and the layers right below it that are none, and base, on
// which the lowest stands. The lowest has such layers. Nothing else stands on any of them.
func (t *tree) collapsible() (groups [][]string, base string) {
	children := t.children()
	for base = t.active.Parent; children[base] == 1; base = t.all[base].Parent {
		mark, n, suffix, own := numbered(t.id, base)
		at, ok := t.all[base]
		if !ok || !own || suffix != "" {
			break
		}
		if at.Labels[label.Record] == "" {
			if len(groups) == 0 {
				return nil, ""
			}
			if at.Parent == base+initSuffix || t.countsFrom(at) {
				break // what an upgrade merged: what the container changed since must be told
			}
			groups[len(groups)-1] = append(groups[len(groups)-1], base)
			continue
		}
		if _, taken := t.all[t.id+compactionMark+strconv.Itoa(n)]; mark != revisionMark || taken {
			break // merged layers would get a name that is taken
		}
		if at.Labels[label.UnfitRoot] != "" {
			break // its root cannot be copied
		}
		groups = append(groups, []string{base})
	}
	for n := len(groups) - 1; n >= 0 && len(groups[n]) == 1; n-- {
		base, groups = groups[n][0], groups[:n]
	}
	return groups, base
}

// children counts the snapshots of the container that stand on each.
func (t *tree) children() map[string]int {
	children := map[string]int{t.active.Parent: 1}
	for _, i := range t.all {
		children[i.Parent]++
	}
	return children
}

// held adds up what layers of revisions that were removed take on disk.
func (h *History) held(ctx context.Context, removed []int) (bytes int64, _ error) {
	t, err := h.load(ctx)
	if err != nil {
		return 0, err
	}
	for _, n := range removed {
		for _, name := range []string{h.revisionKey(n), h.compactionKey(n)} {
			if i, ok := t.all[name]; ok {
				bytes += max(h.store().Measured(ctx, i), 0)
			}
		}
	}
	return bytes, nil
}
