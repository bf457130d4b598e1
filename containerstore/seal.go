package containerstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/snapshotter"
)

// Seal keeps what the container has written as a new revision, and gives it a
// new active snapshot on top. The container is stopped, and its root not
// mounted. No data are copied.
//
// The revision counts as made as soon as its snapshot is committed: an error
// after that leaves it, and Recover does the rest.
func (h *History) Seal(ctx context.Context, r Record) (Revision, error) {
	t, err := h.open(ctx)
	if err != nil {
		return Revision{}, err
	}
	if err := h.room(ctx, t); err != nil {
		return Revision{}, err
	}
	r.Number = t.next()
	labels, err := WriteRecord(ctx, h.Content, h.Container, &r, t.standsOn(*t.active))
	if err != nil {
		return Revision{}, err
	}
	name := h.revisionKey(r.Number)
	if err := h.sealUnder(ctx, t, name, labels, true); err != nil {
		if _, missing := h.Revision(ctx, r.Number); missing != nil {
			return Revision{}, err
		}
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("a snapshot failed half-way, and was completed then")
	}
	if t, err = h.finish(ctx); err != nil {
		return Revision{}, err
	}
	return h.made(ctx, t, r, name, labels), nil
}

// SealLayer makes what the container has written a sealed layer of its own, which
// is no revision, and gives it a new active snapshot on top. The container is
// stopped, and its root not mounted. No data are copied.
//
// It suits a container that is about to be thrown away: one that goes on pays for
// it, by copying each file that it writes, and cannot rename directories of the
// layer. goesOn has what it wrote put on disk, as for a revision; without that it
// may lack it all after a power cut. And if many layers are merged, those that are
// no revisions are removed: the container holds no longer what it has overwritten.
func (h *History) SealLayer(ctx context.Context, goesOn bool) error {
	t, err := h.open(ctx)
	if err != nil {
		return err
	}
	if err := h.room(ctx, t); err != nil {
		return err
	}
	// The number is used up: merged layers are called by those of revisions.
	name := h.revisionKey(t.next())
	if err := h.sealUnder(ctx, t, name, map[string]string{label.Container: h.Container}, goesOn); err != nil {
		return err
	}
	if t, err = h.finish(ctx); err != nil || !goesOn {
		return err
	}
	merged, err := h.compactSealed(ctx, t)
	if t, err = h.compacted(ctx, t, merged, err); err != nil {
		return err
	}
	h.removeMerged(ctx, t)
	return nil
}

// removeMerged removes what nothing stands on and what is no revision.
func (h *History) removeMerged(ctx context.Context, t *tree) {
	if !t.settled() {
		return
	}
	if _, err := h.removeAll(ctx, t, nil); err != nil {
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not remove layers that were merged; tried again with the next, or a prune")
	}
}

// sealUnder seals the active snapshot under a name, and notes that the container
// is to go on on that. After an error it has been taken back or completed.
func (h *History) sealUnder(ctx context.Context, t *tree, name string, labels map[string]string, durable bool) error {
	if err := h.store().Seal(ctx, *t.active, name, labels, t.intent(t.active.Labels[label.State]), durable); err != nil {
		return h.takenBack(ctx, fmt.Errorf("seal snapshot %s as %s: %w", h.Container, name, err))
	}
	return nil
}

// Pause pauses a container. thaw lets it go on; more calls of it do nothing.
type Pause func() (thaw func())

// SealLive keeps the present state of a container that may be running as a new
// revision. What it has written since the last one that it stands on is copied,
// or shared where the file system can; it is paused only for that. The active
// snapshot stays what and where it is.
//
// If Live remembers an earlier live revision of the same active snapshot, only what has
// changed since is copied, and the new revision stands on that one.
func (h *History) SealLive(ctx context.Context, r Record, pause Pause) (_ Revision, err error) {
	t, err := h.open(ctx)
	if err != nil {
		return Revision{}, err
	}
	r.Number = t.next()
	labels, err := WriteRecord(ctx, h.Content, h.Container, &r, t.standsOn(*t.active))
	if err != nil {
		return Revision{}, err
	}
	name := h.revisionKey(r.Number)
	last, known := h.lastLive(t)
	var next liveSeal
	if known {
		next, err = h.makeLive(ctx, t, name, labels, pause, last)
		if err != nil && ctx.Err() == nil {
			log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not copy what has changed since the last revision; copying all")
			h.Live.Forget(h.Container)
			known = false
		}
	}
	if !known {
		next, err = h.makeLive(ctx, t, name, labels, pause, liveSeal{})
	}
	if err != nil {
		return Revision{}, err
	}
	active := *t.active
	if t, err = h.load(ctx); err != nil {
		t = &tree{id: h.Container}
	}
	if i, ok := t.all[name]; ok && next.copies != nil {
		next.active, next.name, next.made = active.Created, name, i.Created
		h.Live.set(h.Container, next)
	}
	return h.made(ctx, t, r, name, labels), nil
}

// makeLive makes the snapshot of a live revision, on that of the last one, or on what the
// container stands on.
func (h *History) makeLive(ctx context.Context, t *tree, name string, labels map[string]string, pause Pause, last liveSeal) (next liveSeal, err error) {
	on := t.active.Parent
	if last.copies != nil {
		on = last.name
	}
	err = h.store().Make(ctx, name, on, labels, func(into []mount.Mount) error {
		live, err := h.Snapshots.Mounts(ctx, h.Container)
		if err != nil {
			return fmt.Errorf("look up mounts of %s: %w", h.Container, err)
		}
		next, err = h.copyLive(ctx, t.active.Parent, live, into, pause, last)
		return err
	})
	return next, err
}

// made describes a revision that has just been made. It is there also if it
// cannot be looked up now; then its size is not known.
func (h *History) made(ctx context.Context, t *tree, r Record, name string, labels map[string]string) Revision {
	found, err := h.found(ctx, t, r.Number)
	if err == nil {
		return found
	}
	log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not look up a revision that was just made")
	previous, _ := strconv.Atoi(labels[label.Previous]) // 0 if there is none
	return Revision{Record: r, Snapshot: name, Previous: previous}
}

// copyTrees copies what the container has written, of a snapshot that does not tell that
// by its folders, by comparing whole trees.
func (h *History) copyTrees(ctx context.Context, parent string, live, into []mount.Mount, pause Pause, why error) error {
	if snapshotter.AsksForMapping(live) {
		return fmt.Errorf("its ids are mapped when it is mounted: %w: %w", why, errdefs.ErrNotImplemented)
	}
	defer pause()()
	return h.store().CopyTrees(ctx, parent, live, into)
}
