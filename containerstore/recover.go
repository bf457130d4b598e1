package containerstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// unfinishedLabels are on snapshots that an operation is at work on, or was when it was
// cut short.
var unfinishedLabels = []string{label.Next, label.Pending, label.Filling, label.HostIDs}

// finishTries is how often the second half of a switch is tried, and finishWait
// how long is waited before the second time; containerd may be busy. While it is
// away the tries do not count, for as long as cleaning up may take.
const (
	finishTries = 3
	finishWait  = 50 * time.Millisecond
	finishMost  = 800 * time.Millisecond
)

// recoverAlways is Recover that is tried again, also after ctx has ended. It returns
// what there is of the container's snapshots then.
func (h *History) recoverAlways(ctx context.Context) (t *tree, err error) {
	ctx, cancel := snap.Cleanup(ctx)
	defer cancel()
	wait := finishWait
	for try := 1; ; {
		t, err = h.open(ctx)
		away := errdefs.IsUnavailable(err)
		if err == nil || ctx.Err() != nil || try == finishTries && !away {
			return t, err
		}
		if !away {
			try++
		}
		time.Sleep(wait)
		wait = min(4*wait, finishMost)
	}
}

// Recover completes a switch that was cut in two, and removes what operations
// left that were cut short. A container that has no snapshot and was not on its
// way to any is errdefs.ErrNotFound.
func (h *History) Recover(ctx context.Context) error {
	_, err := h.open(ctx)
	return err
}

// recover is Recover for snapshots that were read, and notes in t what it does.
func (h *History) recover(ctx context.Context, t *tree) error {
	for _, i := range t.all {
		if i.Labels[label.Filling] == "" || i.Kind != snapshots.KindCommitted {
			continue
		}
		if err := h.exchanged(ctx, t, i); err != nil {
			return fmt.Errorf("end sealing %s: %w", i.Name, err)
		}
	}
	for _, i := range t.all {
		if i.Labels[label.HostIDs] == "" || i.Kind != snapshots.KindCommitted {
			continue
		}
		if err := h.store().Unmap(ctx, i); err != nil {
			return err
		}
	}
	if t.active == nil {
		active, err := h.complete(ctx, t)
		if err != nil {
			return err
		}
		t.active = &active
	}
	// While a note is there the container has not been used.
	if on, ok := t.all[t.active.Parent]; ok && on.Labels[label.Next] != "" {
		if err := h.furnish(ctx, *t.active, on); err != nil {
			return err
		}
	}
	// First what was being filled: it may stand on what else is removed.
	var left error
	for _, kind := range []snapshots.Kind{snapshots.KindActive, snapshots.KindView, snapshots.KindCommitted} {
		for _, i := range t.all {
			if i.Kind != kind {
				continue
			}
			if err := h.settle(ctx, t, i); err != nil {
				left = errors.Join(left, err)
			}
		}
	}
	if left != nil {
		return fmt.Errorf("%w: %w", ErrLeft, left)
	}
	return nil
}

// exchanged ends an exchange that may have been cut: it takes the container's
// active snapshot away if that has nothing any more, and otherwise the one that
// was to be sealed, if that has nothing.
func (h *History) exchanged(ctx context.Context, t *tree, i snapshots.Info) error {
	if t.active == nil {
		return nil
	}
	live, err := h.store().Upper(ctx, *t.active)
	if err != nil {
		return err
	}
	done, err := snap.Marked(live, i)
	if err != nil {
		return err
	}
	if done {
		if err := h.Idle(ctx); err != nil {
			return err
		}
		t.active = nil
		return h.store().Remove(ctx, h.Container)
	}
	folder, err := h.store().Folder(ctx, i)
	if err != nil {
		return err
	}
	if empty, err := snap.Marked(folder, i); err != nil || !empty {
		return err
	}
	delete(t.all, i.Name)
	return h.store().Remove(ctx, i.Name)
}

// ErrLeft says that what an operation left could not be removed. The container is
// where it should be.
var ErrLeft = errors.New("not all that was cut short could be removed")

// complete does the second half of a switch.
func (h *History) complete(ctx context.Context, t *tree) (snapshots.Info, error) {
	for _, i := range t.all {
		if i.Labels[label.Next] != h.Container {
			continue
		}
		stack, err := h.stackOf(ctx, t, i)
		if err != nil {
			return snapshots.Info{}, err
		}
		labels := snap.With(stack.IDs.ActiveLabels(), map[string]string{label.Container: h.Container, label.Last: strconv.Itoa(t.last()), label.Noted: "1"})
		if state := i.Labels[label.NextState]; state != "" {
			labels[label.State], labels[label.RefState] = state, state
		}
		if project := i.Labels[label.NextProject]; project != "" {
			labels[label.Project] = project
		}
		if _, err := h.Snapshots.Prepare(h.store().Owned(ctx), h.Container, i.Name, snapshots.WithLabels(labels)); err != nil {
			return snapshots.Info{}, fmt.Errorf("prepare snapshot %s on %s: %w", h.Container, i.Name, err)
		}
		return snapshots.Info{Name: h.Container, Parent: i.Name, Labels: labels, Kind: snapshots.KindActive}, nil
	}
	return snapshots.Info{}, fmt.Errorf("snapshot %s: %w", h.Container, errdefs.ErrNotFound)
}

// settle removes a snapshot that an operation left, or the marks that it left
// on one.
func (h *History) settle(ctx context.Context, t *tree, i snapshots.Info) error {
	unlabel := func(keys ...string) error {
		err := h.store().Unlabel(ctx, i.Name, keys...)
		if err == nil {
			maps.DeleteFunc(i.Labels, func(key, _ string) bool { return slices.Contains(keys, key) })
		}
		return err
	}
	pending := i.Labels[label.Pending] != ""
	switch {
	case i.Labels[label.Filling] != "":
		return unlabel(append(slices.Clone(noteLabels), label.Pending, label.Filling)...)
	case t.inStack(i.Name) && (pending || i.Labels[label.Next] != ""), i.Labels[label.Next] != "" && !pending:
		return unlabel(append(slices.Clone(noteLabels), label.Pending)...)
	case pending && strings.HasSuffix(i.Name, initSuffix):
		name := strings.TrimSuffix(i.Name, initSuffix)
		for _, gone := range []string{name + snap.KeySuffix, name, i.Name} {
			delete(t.all, gone)
		}
		return h.Abandon(ctx, h.numberOf(i.Name))
	case pending, i.Kind != snapshots.KindCommitted:
		delete(t.all, i.Name)
		return h.store().Remove(ctx, i.Name)
	}
	return nil
}

// Interrupted returns the ids of the containers that have anything for Recover
// to do.
func Interrupted(ctx context.Context, sn snapshots.Snapshotter) ([]string, error) {
	var filters []string
	for _, key := range unfinishedLabels {
		filters = append(filters, fmt.Sprintf("labels.%q", key))
	}
	found := map[string]bool{}
	err := sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Labels[label.Container] != "" {
			found[i.Labels[label.Container]] = true
		}
		return nil
	}, filters...)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return slices.Collect(maps.Keys(found)), nil
}
