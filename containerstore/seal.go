package containerstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/tarlayer"
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
	labels, err := h.labels(ctx, &r, t.standsOn(*t.active))
	if err != nil {
		return Revision{}, err
	}
	name := h.revisionKey(r.Number)
	if err := h.sealUnder(ctx, *t.active, name, labels, true); err != nil {
		if _, missing := h.Revision(ctx, r.Number); missing != nil {
			return Revision{}, err
		}
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("a snapshot failed half-way, and was completed then")
	}
	if err := h.finish(ctx); err != nil {
		return Revision{}, err
	}
	return h.made(ctx, r, name, labels), nil
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
	if err := h.sealUnder(ctx, *t.active, name, map[string]string{labelContainer: h.Container}, goesOn); err != nil {
		return err
	}
	if err := h.finish(ctx); err != nil || !goesOn {
		return err
	}
	if err := h.compacted(ctx, h.compactSealed(ctx)); err != nil {
		return err
	}
	h.removeMerged(ctx)
	return nil
}

// removeMerged removes what nothing stands on and what is no revision.
func (h *History) removeMerged(ctx context.Context) {
	t, err := h.load(ctx)
	if err == nil && t.settled() {
		_, err = h.removeAll(ctx, t, nil)
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not remove layers that were merged; tried again with the next, or a prune")
	}
}

// sealUnder seals the active snapshot under a name, and notes that the container
// is to go on on that. After an error it has been taken back or completed.
func (h *History) sealUnder(ctx context.Context, active snapshots.Info, name string, labels map[string]string, durable bool) error {
	if err := h.sealActive(ctx, active, name, with(labels, h.note(active, active.Labels[labelState])), durable); err != nil {
		return errors.Join(fmt.Errorf("seal snapshot %s as %s: %w", h.Container, name, err), h.recoverAlways(ctx))
	}
	return nil
}

// Pause pauses a container. thaw lets it go on; more calls of it do nothing.
type Pause func() (thaw func())

// SealLive keeps the present state of a container that may be running as a new
// revision. What it has written since the last one that it stands on is copied,
// or shared where the file system can; it is paused only for that. The active
// snapshot stays what and where it is.
func (h *History) SealLive(ctx context.Context, r Record, pause Pause) (_ Revision, err error) {
	t, err := h.open(ctx)
	if err != nil {
		return Revision{}, err
	}
	r.Number = t.next()
	labels, err := h.labels(ctx, &r, t.standsOn(*t.active))
	if err != nil {
		return Revision{}, err
	}
	name := h.revisionKey(r.Number)
	err = h.make(ctx, name, t.active.Parent, labels, func(into []mount.Mount) error {
		live, err := h.Snapshots.Mounts(ctx, h.Container)
		if err != nil {
			return fmt.Errorf("look up mounts of %s: %w", h.Container, err)
		}
		return h.copyLive(ctx, t.active.Parent, live, into, pause)
	})
	if err != nil {
		return Revision{}, err
	}
	return h.made(ctx, r, name, labels), nil
}

// made describes a revision that has just been made. It is there also if it
// cannot be looked up now; then its size is not known.
func (h *History) made(ctx context.Context, r Record, name string, labels map[string]string) Revision {
	found, err := h.Revision(ctx, r.Number)
	if err == nil {
		return found
	}
	log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not look up a revision that was just made")
	previous, _ := strconv.Atoi(labels[LabelPrevious]) // 0 if there is none
	return Revision{Record: r, Snapshot: name, Previous: previous}
}

// make makes a committed snapshot of the container that fill fills.
func (h *History) make(ctx context.Context, name, parent string, labels map[string]string, fill func([]mount.Mount) error) error {
	key := name + keySuffix
	label := snapshots.WithLabels(map[string]string{labelContainer: h.Container})
	mounts, err := h.Snapshots.Prepare(ctx, key, parent, label)
	if errdefs.IsAlreadyExists(err) {
		// If containerd ended during a Commit it has the name still, which it
		// lists no more.
		if err = h.remove(ctx, key); err == nil {
			mounts, err = h.Snapshots.Prepare(ctx, key, parent, label)
		}
	}
	if err != nil {
		return fmt.Errorf("prepare snapshot %s on %q: %w", key, parent, err)
	}
	if strings.HasPrefix(parent, h.Container) && labels[labelFilling] == "" { // not an image, nor for an exchange
		err = keepRoot(mounts)
	}
	if err == nil {
		err = fill(mounts)
	}
	if err == nil {
		owned := ctx
		if labels[labelPending] == "" {
			owned = h.owned(ctx)
		}
		err = h.Snapshots.Commit(owned, name, key, snapshots.WithLabels(labels))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make snapshot %s: %w", name, err), h.undo(ctx, key))
	}
	return nil
}

// copyLive copies what the container has written.
func (h *History) copyLive(ctx context.Context, parent string, live, into []mount.Mount, pause Pause) error {
	from, err := changes.ParseOverlay(live, parent != "")
	if errors.Is(err, diff.ErrUnsupported) && h.Differ != nil {
		if snapshotter.AsksForMapping(live) {
			return fmt.Errorf("its ids are mapped when it is mounted: %w: %w", err, errdefs.ErrNotImplemented)
		}
		thaw := pause()
		defer thaw()
		return h.copyTrees(ctx, parent, live, into)
	}
	if err != nil {
		return err
	}
	to, err := changes.ParseOverlay(into, parent != "")
	if err != nil {
		return err
	}
	return snapshotter.Durably(ctx, to.Uppers[0], func() (snapshotter.SealStats, error) {
		defer pause()()
		return snapshotter.SealWhole(ctx, &changes.Container{Overlay: from, Whole: true}, to.Uppers[0])
	})
}

// copyTrees finds what the container has written by comparing whole trees.
func (h *History) copyTrees(ctx context.Context, parent string, live, into []mount.Mount) (err error) {
	key := h.Container + revisionMark + "-before" + keySuffix
	// With the label, what a crash leaves is found and removed.
	before, err := h.Snapshots.View(ctx, key, parent, snapshots.WithLabels(map[string]string{labelContainer: h.Container}))
	if err != nil {
		return fmt.Errorf("view snapshot %q: %w", parent, err)
	}
	defer func() { err = errors.Join(err, h.undo(ctx, key)) }()
	layer, err := tarlayer.FromTrees(ctx, h.Differ, h.Content, before, live)
	if err != nil || layer.Empty() {
		return err
	}
	_, err = h.Differ.Apply(ctx, layer.Blob, into, c8ddiff.WithSyncFs(true))
	return err
}
