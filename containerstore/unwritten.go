package containerstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// Return is [History.Switch] for a container whose state a revision has already: it has
// written nothing since the revision that it stands on, and present, which describes it,
// says what that revision's record says. No revision is made then, and Return returns the
// one that the container stood on. Otherwise, and if that cannot be told, ok is false, and
// nothing has been done.
//
// After an error the container stands on one of both, or Recover completes the switch;
// State tells which.
func (h *History) Return(ctx context.Context, to int, present Record) (_ Revision, ok bool, err error) {
	t, err := h.load(ctx)
	if err != nil || !t.settled() {
		return Revision{}, false, err
	}
	stood, now, err := h.returnTo(ctx, t, to, present)
	return stood, now != nil && err == nil, err
}

// returnTo is Return for snapshots that were read, and returns what they are then; nil if
// it does nothing.
func (h *History) returnTo(ctx context.Context, t *tree, to int, present Record) (Revision, *tree, error) {
	stands, ok, err := h.standsUnchanged(ctx, t, present)
	if err != nil {
		// A container can have more attributes on its root than can be read, and a record can
		// be lost: both must not keep it where it is.
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not tell whether the container has written anything since its revision; a new revision keeps it")
	}
	if err != nil || !ok {
		return Revision{}, nil, nil
	}
	target, err := h.target(ctx, t, to)
	if err != nil {
		return Revision{}, nil, h.takenBack(ctx, err)
	}
	record := target.Labels[label.Record]
	stands.Current = stands.Number == to
	if stands.Current { // the active snapshot stays, and the highest number that it knows
		return stands, t, h.store().Label(ctx, h.Container, map[string]string{label.State: record, label.RefState: record})
	}
	now, err := h.restack(ctx, t, target.Name, record)
	if err != nil {
		var failure error
		if now, failure = h.look(ctx); failure != nil || now.active.Parent != target.Name {
			return Revision{}, nil, fmt.Errorf("go from revision %d to %d: %w", stands.Number, to, err)
		}
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("a rollback failed half-way, and was completed then")
	}
	return stands, now, nil
}

// standsUnchanged returns the revision that has the present state of the container; ok is
// false if none has.
func (h *History) standsUnchanged(ctx context.Context, t *tree, present Record) (_ Revision, ok bool, _ error) {
	stands := t.standsOn(*t.active)
	if t.active.Parent != h.revisionKey(stands) && t.active.Parent != h.compactionKey(stands) {
		return Revision{}, false, nil
	}
	unwritten, err := h.store().IsUnwritten(ctx, *t.active)
	if err != nil || !unwritten {
		return Revision{}, false, err
	}
	r, err := h.found(ctx, t, stands)
	if err != nil {
		return Revision{}, false, err
	}
	same := r.Image == present.Image && r.ImageID == present.ImageID && r.keptImage() == present.keptImage() && bytes.Equal(r.Config, present.Config) && slices.Equal(r.Volumes, present.Volumes)
	return r, same, nil
}
