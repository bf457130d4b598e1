package containerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
)

// compact merges the layers of a container that stands on too many. Its active
// snapshot has just been made, and has nothing yet: it is made again on the
// merged one. The revisions stay. What an upgrade merged is not merged again,
// so that what the container changed since can still be told.
func (h *History) compact(ctx context.Context, t *tree) (done bool, err error) {
	stack, err := h.stackOf(ctx, t, *t.active)
	if err != nil || len(stack.Own) <= h.limit() {
		return false, err
	}
	merged, base := stack.sealed()
	return h.mergeTop(ctx, t, merged, base)
}

// limit is how many layers of its own the container may have.
func (h *History) limit() int {
	if h.MaxLayers == 0 {
		return snap.MaxLayers
	}
	return h.MaxLayers
}

// sealed are the container's own layers that are sealed, and can be merged, and what
// they stand on.
func (s Stack) sealed() (merged []string, base string) {
	base, merged = s.Init, s.Own[1:]
	if base == "" {
		base = s.Base
	}
	if len(merged) == 0 {
		return nil, base
	}
	if lowest := merged[len(merged)-1]; lowest+initSuffix == base {
		base, merged = lowest, merged[:len(merged)-1]
	}
	return merged, base
}

// room fails if the container has twice as many layers of its own as it is to have,
// since merging them has failed each time, and fails again. Otherwise the stack would
// grow until the kernel does not mount it, and the container could not start.
func (h *History) room(ctx context.Context, t *tree) error {
	stack, err := h.stackOf(ctx, t, *t.active)
	if err != nil || len(stack.Own) <= 2*h.limit() {
		return err
	}
	if _, err := h.store().Overlay(ctx, *t.active); errors.Is(err, diff.ErrUnsupported) {
		return nil // no stack of folders, which knows no limit
	}
	merged, base := stack.sealed()
	if len(merged) < 2 {
		return nil
	}
	if _, ok := t.all[h.compactionKey(h.numberOf(merged[0]))]; ok {
		return nil
	}
	if err := h.tryMerge(ctx, t.all[merged[0]], base, len(merged)); err != nil {
		return fmt.Errorf("it stands on %d layers of its own that cannot be merged, and is to have up to %d; the kernel mounts up to %d in all: %w: %w", len(stack.Own), h.limit(), kernelLayers, err, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// errTrial ends a merge that was only tried.
var errTrial = errors.New("the merge was tried")

// tryMerge does all that merge does, and leaves nothing.
func (h *History) tryMerge(ctx context.Context, top snapshots.Info, base string, layers int) error {
	fill, err := h.store().Merged(ctx, top, base, layers)
	if err != nil {
		return err
	}
	err = h.store().Make(ctx, h.compactionKey(h.numberOf(top.Name)), base, map[string]string{label.Container: h.Container}, func(into []mount.Mount) error {
		if err := fill(into); err != nil {
			return err
		}
		return errTrial
	})
	if errors.Is(err, errTrial) {
		return nil
	}
	return err
}

// compactSealed merges the topmost layers that are no revisions, if they are too
// many, as compact does. What the container changed since its last revision can
// still be told then.
func (h *History) compactSealed(ctx context.Context, t *tree) (done bool, err error) {
	if h.MaxSealed == 0 {
		return false, nil
	}
	stack, err := h.stackOf(ctx, t, *t.active)
	if err != nil {
		return false, err
	}
	merged := stack.Own[1:]
	if i := slices.IndexFunc(merged, func(name string) bool { return t.all[name].Labels[label.Record] != "" }); i >= 0 {
		merged = merged[:i]
	}
	if len(merged) < h.MaxSealed {
		return false, nil
	}
	return h.mergeTop(ctx, t, merged, t.all[merged[len(merged)-1]].Parent)
}

// mergeTop merges the topmost sealed layers of a container, on what they stand on, and
// reports whether it has moved the container there.
func (h *History) mergeTop(ctx context.Context, t *tree, merged []string, base string) (done bool, err error) {
	if len(merged) < 2 {
		return false, nil
	}
	top := t.all[merged[0]]
	if on := t.standsOn(top); top.Labels[label.Record] == "" && on > 0 {
		top.Labels = snap.With(top.Labels, map[string]string{label.Previous: strconv.Itoa(on)})
	}
	name := h.compactionKey(h.numberOf(top.Name))
	if _, ok := t.all[name]; !ok {
		err := h.store().Merge(ctx, name, top, base, len(merged))
		if errors.Is(err, diff.ErrUnsupported) {
			// Such snapshots are no stacks of folders, and know no limit.
			log.G(ctx).WithError(err).WithField("container", h.Container).Debug("not merging layers")
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	_, err = h.restack(ctx, t, name, t.active.Labels[label.State])
	return true, err
}

// restack makes the active snapshot, which is empty, again on another one. state is the
// digest of the record of what the container moves to by that. It returns what there is of
// the container's snapshots then.
func (h *History) restack(ctx context.Context, t *tree, on, state string) (*tree, error) {
	ctx, cancel := snap.Cleanup(ctx)
	defer cancel()
	if err := h.Idle(ctx); err != nil {
		return nil, err
	}
	target, ok := t.all[on]
	if !ok { // it has just been made
		target = snapshots.Info{Name: on, Labels: map[string]string{}}
	}
	if err := h.aim(ctx, t, target, state); err != nil {
		return nil, err
	}
	failure := h.store().Remove(ctx, h.Container)
	now, err := h.open(ctx)
	return now, errors.Join(failure, err)
}
