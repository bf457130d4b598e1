package containerstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

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

// ErrLeft says that what an operation left could not be removed. The container is
// where it should be.
var ErrLeft = errors.New("not all that was cut short could be removed")

// recover is Recover for snapshots that were read, and notes in t what it does. It goes
// through the table from the top, and does what a row says to all snapshots of which it
// holds.
func (h *History) recover(ctx context.Context, t *tree) error {
	var left error
	for _, row := range recovery {
		if row.leftover && t.active == nil {
			return fmt.Errorf("snapshot %s: %w", h.Container, errdefs.ErrNotFound)
		}
		for _, i := range t.all {
			in, err := snap.IntentOf(i.Labels)
			if !row.holds(t, i, in, err) {
				continue
			}
			if err == nil {
				err = row.do(h, ctx, t, i, in)
			}
			if err != nil {
				err = fmt.Errorf("snapshot %s: %s: %w", i.Name, row.found, err)
			}
			if err != nil && !row.leftover {
				return err
			}
			left = errors.Join(left, err)
		}
	}
	if left != nil {
		return fmt.Errorf("%w: %w", ErrLeft, left)
	}
	return nil
}

// Interrupted returns the ids of the containers that have anything for Recover
// to do.
func Interrupted(ctx context.Context, sn snapshots.Snapshotter) ([]string, error) {
	var filters []string
	for _, key := range append(slices.Clone(snap.IntentLabels), label.HostIDs) {
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
