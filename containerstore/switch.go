package containerstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/snapshotter"
)

// Pending makes a revision that the container is to move to, on a snapshot
// parent, from what the revision previous is. It counts only after Switch;
// until then the lease in the context alone holds it. fill writes its files.
func (h *History) Pending(ctx context.Context, r Record, parent string, previous int, fill func([]mount.Mount) error) error {
	_, err := h.pending(ctx, r, parent, previous, fill)
	return err
}

// pending is Pending, and returns the labels of the snapshot.
func (h *History) pending(ctx context.Context, r Record, parent string, previous int, fill func([]mount.Mount) error) (map[string]string, error) {
	labels, err := WriteRecord(ctx, h.Content, h.Container, &r, previous)
	if err != nil {
		return nil, err
	}
	labels = snap.With(labels, snap.Intent{Kind: snap.Made}.Labels())
	return labels, h.store().Make(ctx, h.revisionKey(r.Number), parent, labels, fill)
}

// PendingInit makes the init layer of a pending revision, on the snapshot of an
// image, and returns its name. The ids are those that the container has.
func (h *History) PendingInit(ctx context.Context, n int, image string, ids IDs, fill func([]mount.Mount) error) (string, error) {
	name := h.revisionKey(n) + initSuffix
	return name, h.store().Make(ctx, name, image, pendingInitLabels(h, ids), fill)
}

// Abandon removes a pending revision.
func (h *History) Abandon(ctx context.Context, n int) error {
	ctx, cancel := snap.Cleanup(ctx)
	defer cancel()
	name := h.revisionKey(n)
	err := errors.Join(
		// containerd lists it no more if it was cut short in the middle of its
		// Commit, and has it even so.
		h.store().Remove(ctx, name+snap.KeySuffix),
		h.store().Remove(ctx, name))
	if err != nil {
		return err
	}
	err = h.store().Remove(ctx, name+initSuffix)
	if errdefs.IsFailedPrecondition(err) {
		// containerd has collected the revision, and still counts it as a child of
		// its init layer. A collection does not mind.
		return h.release(ctx, name+initSuffix)
	}
	return err
}

// release takes a snapshot from the container's lease: containerd then collects it.
func (h *History) release(ctx context.Context, name string) error {
	err := h.Leases.DeleteResource(ctx, leases.Lease{ID: h.Lease}, leases.Resource{ID: name, Type: "snapshots/" + h.Snapshotter})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("release snapshot %s: %w", name, err)
	}
	return nil
}

// Switch keeps what the container has written as a new revision, and then gives
// it the files of another one, which may be pending. The container is stopped,
// and its root not mounted. No data are copied.
//
// After an error the container stands on what it stood on, or Recover completes
// the switch; State tells which.
func (h *History) Switch(ctx context.Context, to int, before Record) (Revision, error) {
	t, err := h.load(ctx)
	if err != nil {
		return Revision{}, err
	}
	made, _, err := h.switchTo(ctx, t, to, before)
	return made, err
}

// switchTo is Switch for snapshots that were read, and returns what they are then.
func (h *History) switchTo(ctx context.Context, t *tree, to int, before Record) (Revision, *tree, error) {
	if t.active == nil {
		return Revision{}, nil, fmt.Errorf("switch container %s: an earlier switch is not complete: %w", h.Container, errdefs.ErrFailedPrecondition)
	}
	target, err := h.target(ctx, t, to)
	if err != nil {
		return Revision{}, nil, h.takenBack(ctx, err)
	}
	if before.Number == 0 {
		before.Number = t.next()
	}
	labels, err := WriteRecord(ctx, h.Content, h.Container, &before, t.standsOn(*t.active))
	if err != nil {
		return Revision{}, nil, err
	}
	if err := h.dropStale(ctx, t, target.Name); err != nil {
		return Revision{}, nil, err
	}
	if err := h.aim(ctx, t, target, target.Labels[label.Record]); err != nil {
		return Revision{}, nil, h.takenBack(ctx, err)
	}
	name := h.revisionKey(before.Number)
	if err := h.store().Seal(ctx, *t.active, name, labels, snap.Intent{}, true); err != nil {
		return Revision{}, nil, h.takenBack(ctx, fmt.Errorf("seal snapshot %s as %s: %w", h.Container, name, err))
	}
	if t, err = h.finish(ctx); err != nil {
		return Revision{}, nil, err
	}
	return h.made(ctx, t, before, name, labels), t, nil
}

// aim writes down that the container is to stand on a snapshot. state is the digest of
// the record of what it moves to, "" if it has never moved.
func (h *History) aim(ctx context.Context, t *tree, target snapshots.Info, state string) error {
	was, err := snap.IntentOf(target.Labels)
	if err == nil {
		in := t.intent(state)
		in.Made = was.Kind == snap.Made || was.Made
		err = h.store().SetIntent(ctx, target, in)
	}
	if err != nil {
		return fmt.Errorf("note the switch: %w", err)
	}
	return nil
}

// intent is that of the snapshot that the container is to stand on: what the active one
// is to get there.
func (t *tree) intent(state string) snap.Intent {
	return snap.Intent{Kind: snap.Enter, State: state, Project: t.active.Labels[label.Project], Last: t.last()}
}

// dropStale takes off the intents of switches that failed, as did their end: the container
// stands on one snapshot. What was made for one stays so marked.
func (h *History) dropStale(ctx context.Context, t *tree, target string) error {
	for _, i := range t.all {
		in, err := snap.IntentOf(i.Labels)
		if err != nil || in.Kind != snap.Enter || i.Name == target {
			continue
		}
		then := snap.Intent{}
		if in.Made {
			then.Kind = snap.Made
		}
		if err := h.store().SetIntent(ctx, i, then); err != nil {
			return err
		}
	}
	return nil
}

// target finds the snapshot for the container to stand on. A pending one gets
// into the container's lease.
func (h *History) target(ctx context.Context, t *tree, n int) (snapshots.Info, error) {
	i, ok := t.all[h.revisionKey(n)]
	in, err := snap.IntentOf(i.Labels)
	if err != nil {
		return i, fmt.Errorf("snapshot %s: %w", i.Name, err)
	}
	if pending := ok && in.IsUnmade() && !in.Exchanges(); !pending {
		merged, ok := t.all[h.compactionKey(n)]
		if ok && merged.Kind == snapshots.KindCommitted {
			return merged, nil
		}
		if i, ok = t.revision(n); !ok {
			return i, h.missing(n)
		}
		if why := i.Labels[label.UnfitRoot]; why != "" {
			return i, fmt.Errorf("revision %d: %s: %w", n, why, errdefs.ErrFailedPrecondition)
		}
		return i, nil
	}
	if h.Lease == "" {
		return i, nil
	}
	for _, name := range []string{i.Name + initSuffix, i.Name} {
		if _, ok := t.all[name]; !ok {
			continue
		}
		err := h.Leases.AddResource(ctx, leases.Lease{ID: h.Lease}, leases.Resource{ID: name, Type: "snapshots/" + h.Snapshotter})
		if err != nil {
			return i, fmt.Errorf("keep snapshot %s: %w", name, err)
		}
	}
	return i, nil
}

// finish completes a switch of which the first half is done. That is tried also
// after the request has ended: the container has no active snapshot meanwhile. It
// returns what there is of the container's snapshots then.
func (h *History) finish(ctx context.Context) (*tree, error) {
	t, err := h.recoverAlways(ctx)
	if err != nil {
		return nil, fmt.Errorf("complete the switch of container %s; the next start of the daemon or operation on it tries again: %w", h.Container, err)
	}
	merged, err := h.compact(ctx, t)
	return h.compacted(ctx, t, merged, err)
}

// takenBack takes back or completes an operation that failed, and returns its failure
// with that of doing so.
func (h *History) takenBack(ctx context.Context, failure error) error {
	_, err := h.recoverAlways(ctx)
	return errors.Join(failure, err)
}

// compacted ends merging layers. It may have failed, even between two active
// snapshots of the container: that counts then. It returns what there is of the
// container's snapshots, which is t if no layers were merged.
func (h *History) compacted(ctx context.Context, t *tree, merged bool, failure error) (*tree, error) {
	if failure == nil && !merged {
		return t, nil
	}
	if failure == nil {
		return h.load(ctx)
	}
	log.G(ctx).WithError(failure).WithField("container", h.Container).Warn("could not merge the container's many layers; tried again with the next revision or sealed layer")
	t, err := h.recoverAlways(ctx)
	if err != nil {
		return nil, fmt.Errorf("complete merging the layers of container %s; the next start of the daemon or operation on it tries again: %w", h.Container, err)
	}
	return t, nil
}

// furnish gives a new active snapshot what the one before had besides its files.
func (h *History) furnish(ctx context.Context, active, on snapshots.Info) error {
	mounts, err := h.Snapshots.Mounts(ctx, h.Container)
	if err == nil {
		err = snap.KeepRoot(mounts)
	}
	if errors.Is(err, snap.ErrUnfitRoot) { // of a revision that an earlier version sealed
		log.G(ctx).WithError(err).WithField("container", h.Container).Error("the root directory of the container has lost attributes; it has them in the revision")
		err = nil
	}
	if err != nil {
		return fmt.Errorf("keep the root directory of %s: %w", on.Name, err)
	}
	return join(active, mounts)
}

// join has what is written through mounts count for the project that an active
// snapshot is of, if it is of one.
func join(active snapshots.Info, mounts []mount.Mount) error {
	project, err := Project(active)
	if err != nil || project == 0 {
		return err
	}
	return snapshotter.JoinProject(mounts, project)
}

// Project is that of an active snapshot; 0 for none.
func Project(active snapshots.Info) (uint32, error) {
	text := active.Labels[label.Project]
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("snapshot %s: label %s: %w: %w", active.Name, label.Project, err, errdefs.ErrDataLoss)
	}
	return uint32(id), nil
}

func (h *History) numberOf(name string) int {
	_, n, _, _ := numbered(h.Container, name)
	return n
}
