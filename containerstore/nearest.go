package containerstore

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// Nearest returns the number of the revision that is nearest to the container's
// present state: the last one made of it while it ran, or else the one that it
// stands on; 0 if there is neither.
func (h *History) Nearest(ctx context.Context) (int, error) {
	t, err := h.look(ctx)
	if err != nil {
		return 0, err
	}
	return t.nearest(), nil
}

func (t *tree) nearest() int {
	on := t.standsOn(*t.active)
	nearest := 0
	for _, n := range t.numbers() {
		i, _ := t.revision(n)
		if n > nearest && t.isLive(i) {
			nearest = n
		}
	}
	if nearest > 0 {
		return nearest
	}
	if _, ok := t.revision(on); !ok {
		return 0
	}
	return on
}

// isLive reports whether a snapshot was made of the active one while the container ran:
// it stands on what that stands on, or on another such snapshot. One that was sealed
// while the container was stopped is older than the active snapshot that was then made on
// it.
func (t *tree) isLive(i snapshots.Info) bool {
	for ok := true; ok && i.Created.After(t.active.Created); i, ok = t.all[i.Parent] {
		if i.Parent == t.active.Parent {
			return true
		}
	}
	return false
}

// Since returns how many of the container's own layers, from the top, hold what
// it changed since it was last merged into another image, or else since it went
// to another revision, or else all. Of a revision that was pruned, merged is told its kind.
func (h *History) Since(ctx context.Context, merged func(Record) bool) (layers int, err error) {
	t, err := h.look(ctx)
	if err != nil {
		return 0, err
	}
	return h.since(ctx, t, merged)
}

func (h *History) since(ctx context.Context, t *tree, merged func(Record) bool) (layers int, err error) {
	stack, err := h.stackOf(ctx, t, *t.active)
	if err != nil {
		return 0, err
	}
	layers = len(stack.Own)
	moved := t.active.Labels[label.State]
	for at, name := range stack.Own[1:] {
		i := t.all[name]
		was, pruned, err := retiredOf(i)
		if err != nil {
			return 0, err
		}
		if moved != "" && (i.Labels[label.Record] == moved || pruned && was.Record == moved) {
			layers = min(layers, at+1)
		}
		r := Record{Kind: was.Kind}
		if i.Labels[label.Record] != "" {
			r, err = ReadRecord(ctx, h.Content, i)
		}
		if err != nil {
			return 0, err
		}
		if merged(r) {
			return at + 1, nil
		}
	}
	return layers, nil
}

// look is load for a container that is not in the middle of a switch.
func (h *History) look(ctx context.Context) (*tree, error) {
	t, err := h.load(ctx)
	if err == nil && t.active == nil {
		err = fmt.Errorf("snapshot %s: %w", h.Container, errdefs.ErrNotFound)
	}
	return t, err
}
