package containerstore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// Return is [History.Switch] for a container whose state a revision has already: it has
// written nothing since the revision that it stands on, and present, which describes it,
// says what that revision's record says. No revision is made then, and Return returns the
// one that the container stood on. Otherwise ok is false, and nothing has been done.
//
// After an error the container stands on one of both, or Recover completes the switch;
// State tells which.
func (h *History) Return(ctx context.Context, to int, present Record) (_ Revision, ok bool, err error) {
	t, err := h.load(ctx)
	if err != nil || t.active == nil {
		return Revision{}, false, err
	}
	stands, err := h.standsUnchanged(ctx, t, present)
	if err != nil || stands == 0 {
		return Revision{}, false, err
	}
	from, err := h.Revision(ctx, stands)
	if err != nil {
		return Revision{}, false, err
	}
	target, err := h.target(ctx, t, to)
	if err != nil {
		return Revision{}, false, h.takenBack(ctx, err)
	}
	if err := h.restackTo(ctx, *t.active, target.Name, target.Labels[label.Record]); err != nil {
		if is, failure := h.Stack(ctx); failure != nil || len(is.Own) < 2 || is.Own[1] != target.Name {
			return Revision{}, false, fmt.Errorf("go from revision %d to %d: %w", stands, to, err)
		}
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("a rollback failed half-way, and was completed then")
	}
	from.Current = stands == to
	return from, true, nil
}

// standsUnchanged returns the number of the revision that has the present state of the
// container; 0 if none has.
func (h *History) standsUnchanged(ctx context.Context, t *tree, present Record) (int, error) {
	stands := t.standsOn(*t.active)
	i, ok := t.revision(stands)
	if !ok || t.active.Parent != h.revisionKey(stands) && t.active.Parent != h.compactionKey(stands) {
		return 0, nil
	}
	r, err := ReadRecord(ctx, h.Content, i)
	if err != nil {
		return 0, err
	}
	if r.Image != present.Image || r.ImageID != present.ImageID || r.keptImage() != present.keptImage() || !bytes.Equal(r.Config, present.Config) {
		return 0, nil
	}
	unwritten, err := h.store().IsUnwritten(ctx, *t.active)
	if err != nil || !unwritten {
		return 0, err
	}
	return stands, nil
}
