package containerstore

import (
	"context"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// Tree is the snapshots of a container as [History.Open] has read them: an operation of
// several steps opens its history once. The tree knows what its own methods change, and not
// what others do meanwhile. After an error of [Tree.Switch] or [Tree.Return] it
// does not tell what there is: the history has to be opened again.
type Tree struct {
	h *History
	t *tree
}

// Open reads the snapshots of the container for an operation that is to change them. What
// was cut short is completed or taken back before, as by Recover.
func (h *History) Open(ctx context.Context) (*Tree, error) {
	t, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	return &Tree{h, t}, nil
}

// View is Open for who changes nothing: what was cut short stays as it is. A container that
// has no active snapshot, as in the middle of a switch, is errdefs.ErrNotFound.
func (h *History) View(ctx context.Context) (*Tree, error) {
	t, err := h.look(ctx)
	if err != nil {
		return nil, err
	}
	return &Tree{h, t}, nil
}

// Next returns the number that the next revision gets.
func (t *Tree) Next() int { return t.t.next() }

// Stack tells what the container stands on.
func (t *Tree) Stack(ctx context.Context) (Stack, error) {
	s, err := t.h.stackOf(ctx, t.t, *t.t.active)
	s.Made = t.t.active.Created
	return s, err
}

// List returns the container's revisions, the oldest first.
func (t *Tree) List(ctx context.Context) ([]Revision, error) { return t.h.list(ctx, t.t) }

// Revision returns one revision by its number.
func (t *Tree) Revision(ctx context.Context, n int) (Revision, error) {
	return t.h.found(ctx, t.t, n)
}

// Nearest is [History.Nearest].
func (t *Tree) Nearest() int { return t.t.nearest() }

// Since is [History.Since].
func (t *Tree) Since(ctx context.Context, merged func(Record) bool) (layers int, err error) {
	return t.h.since(ctx, t.t, merged)
}

// PendingInit is [History.PendingInit].
func (t *Tree) PendingInit(ctx context.Context, n int, image string, ids IDs, fill func([]mount.Mount) error) (string, error) {
	name, err := t.h.PendingInit(ctx, n, image, ids, fill)
	if err == nil {
		t.made(name, image, pendingInitLabels(t.h, ids))
	}
	return name, err
}

// Pending is [History.Pending].
func (t *Tree) Pending(ctx context.Context, r Record, parent string, previous int, fill func([]mount.Mount) error) error {
	labels, err := t.h.pending(ctx, r, parent, previous, fill)
	if err == nil {
		t.made(t.h.revisionKey(r.Number), parent, labels)
	}
	return err
}

func (t *Tree) made(name, parent string, labels map[string]string) {
	t.t.all[name] = snapshots.Info{Name: name, Parent: parent, Labels: labels, Kind: snapshots.KindCommitted}
}

// Switch is [History.Switch].
func (t *Tree) Switch(ctx context.Context, to int, before Record) (Revision, error) {
	made, now, err := t.h.switchTo(ctx, t.t, to, before)
	if err == nil {
		t.t = now
	}
	return made, err
}

// Return is [History.Return].
func (t *Tree) Return(ctx context.Context, to int, present Record) (_ Revision, ok bool, err error) {
	stood, now, err := t.h.returnTo(ctx, t.t, to, present)
	if err != nil || now == nil {
		return Revision{}, false, err
	}
	t.t = now
	return stood, true, nil
}

// pendingInitLabels are those of the init layer of a pending revision.
func pendingInitLabels(h *History, ids IDs) map[string]string {
	labels := snap.With(ids.InitLabels(), snap.Intent{Kind: snap.Made}.Labels())
	labels[label.Container] = h.Container
	return labels
}
