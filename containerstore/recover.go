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
)

// unfinishedLabels are on snapshots that an operation is at work on, or was when it was
// cut short.
var unfinishedLabels = []string{labelNext, labelPending, labelFilling, labelHostIDs}

// finishTries is how often the second half of a switch is tried, and finishWait
// how long is waited before the second time; containerd may be busy. While it is
// away the tries do not count, for as long as cleaning up may take.
const (
	finishTries = 3
	finishWait  = 50 * time.Millisecond
	finishMost  = 800 * time.Millisecond
)

func (h *History) recoverAlways(ctx context.Context) (err error) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	wait := finishWait
	for try := 1; ; {
		err = h.Recover(ctx)
		away := errdefs.IsUnavailable(err)
		if err == nil || ctx.Err() != nil || try == finishTries && !away {
			return err
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
	t, err := h.load(ctx)
	if err != nil || t.settled() {
		return err
	}
	return h.recover(ctx, t)
}

func (h *History) recover(ctx context.Context, t *tree) error {
	for _, i := range t.all {
		if i.Labels[labelFilling] == "" || i.Kind != snapshots.KindCommitted {
			continue
		}
		if err := h.exchanged(ctx, t, i); err != nil {
			return fmt.Errorf("end sealing %s: %w", i.Name, err)
		}
	}
	for _, i := range t.all {
		if i.Labels[labelHostIDs] == "" || i.Kind != snapshots.KindCommitted {
			continue
		}
		if err := h.unmap(ctx, i); err != nil {
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
	if on, ok := t.all[t.active.Parent]; ok && on.Labels[labelNext] != "" {
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

// ErrLeft says that what an operation left could not be removed. The container is
// where it should be.
var ErrLeft = errors.New("not all that was cut short could be removed")

// complete does the second half of a switch.
func (h *History) complete(ctx context.Context, t *tree) (snapshots.Info, error) {
	for _, i := range t.all {
		if i.Labels[labelNext] != h.Container {
			continue
		}
		stack, err := h.stackOf(ctx, t, i)
		if err != nil {
			return snapshots.Info{}, err
		}
		labels := with(stack.IDs.ActiveLabels(), map[string]string{labelContainer: h.Container, labelLast: strconv.Itoa(t.last()), LabelNoted: "1"})
		if state := i.Labels[labelNextState]; state != "" {
			labels[labelState], labels[gcRefState] = state, state
		}
		if project := i.Labels[labelNextProject]; project != "" {
			labels[LabelProject] = project
		}
		if _, err := h.Snapshots.Prepare(h.owned(ctx), h.Container, i.Name, snapshots.WithLabels(labels)); err != nil {
			return snapshots.Info{}, fmt.Errorf("prepare snapshot %s on %s: %w", h.Container, i.Name, err)
		}
		return snapshots.Info{Name: h.Container, Parent: i.Name, Labels: labels, Kind: snapshots.KindActive}, nil
	}
	return snapshots.Info{}, fmt.Errorf("snapshot %s: %w", h.Container, errdefs.ErrNotFound)
}

// settle removes a snapshot that an operation left, or the marks that it left
// on one.
func (h *History) settle(ctx context.Context, t *tree, i snapshots.Info) error {
	pending := i.Labels[labelPending] != ""
	switch {
	case i.Labels[labelFilling] != "":
		return h.unlabel(ctx, i.Name, append(slices.Clone(noteLabels), labelPending, labelFilling)...)
	case t.inStack(i.Name) && (pending || i.Labels[labelNext] != ""), i.Labels[labelNext] != "" && !pending:
		return h.unlabel(ctx, i.Name, append(slices.Clone(noteLabels), labelPending)...)
	case pending && strings.HasSuffix(i.Name, initSuffix):
		return h.Abandon(ctx, h.numberOf(i.Name))
	case pending, i.Kind != snapshots.KindCommitted:
		return h.remove(ctx, i.Name)
	}
	return nil
}

// Interrupted returns the ids of the containers that have anything for Recover
// to do.
func Interrupted(ctx context.Context, sn snapshots.Snapshotter) ([]string, error) {
	var filters []string
	for _, label := range unfinishedLabels {
		filters = append(filters, fmt.Sprintf("labels.%q", label))
	}
	found := map[string]bool{}
	err := sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Labels[labelContainer] != "" {
			found[i.Labels[labelContainer]] = true
		}
		return nil
	}, filters...)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return slices.Collect(maps.Keys(found)), nil
}
