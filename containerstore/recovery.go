package containerstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// recoveryRow says what is found of one snapshot of a container whose operation was cut
// short, and what is done.
type recoveryRow struct {
	found string // what is found, for a person
	// holds reports whether it is found. unreadable is why the snapshot's intent is not known.
	holds func(t *tree, i snapshots.Info, in snap.Intent, unreadable error) bool
	do    func(h *History, ctx context.Context, t *tree, i snapshots.Info, in snap.Intent) error
	// leftover is of what nobody needs: the container is where it should be. The rows
	// before come first.
	leftover bool
}

// recovery is the table of all that recovery finds and does, from the top.
var recovery = []recoveryRow{
	{
		found: "what an operation was doing with it cannot be read",
		holds: func(_ *tree, _ snapshots.Info, _ snap.Intent, unreadable error) bool { return unreadable != nil },
	},
	{
		found: "its folder was being exchanged for the container's",
		holds: func(t *tree, i snapshots.Info, in snap.Intent, _ error) bool {
			return isCommitted(i) && in.Exchanges() && t.active != nil
		},
		do: (*History).endExchange,
	},
	{
		found: "its files were being given the image's owners",
		holds: func(_ *tree, i snapshots.Info, _ snap.Intent, _ error) bool {
			return isCommitted(i) && i.Labels[label.HostIDs] != ""
		},
		do: func(h *History, ctx context.Context, _ *tree, i snapshots.Info, _ snap.Intent) error {
			return h.store().Unmap(ctx, i)
		},
	},
	{
		found: "the container was about to stand on it, and has no active snapshot",
		holds: func(t *tree, i snapshots.Info, in snap.Intent, _ error) bool {
			return isCommitted(i) && in.Enters() && t.active == nil
		},
		do: (*History).enter,
	},
	{
		// While the intent is there the container has not been used.
		found: "the container had just come to stand on it",
		holds: func(t *tree, i snapshots.Info, in snap.Intent, _ error) bool {
			return in.Enters() && t.active != nil && t.active.Parent == i.Name
		},
		do: func(h *History, ctx context.Context, t *tree, i snapshots.Info, _ snap.Intent) error {
			return h.furnish(ctx, *t.active, i)
		},
	},
	{
		// Before what it may stand on.
		found: "it was being filled",
		holds: func(_ *tree, i snapshots.Info, _ snap.Intent, _ error) bool {
			return i.Kind == snapshots.KindActive
		},
		do:       (*History).forget,
		leftover: true,
	},
	{
		found: "it was being read",
		holds: func(_ *tree, i snapshots.Info, _ snap.Intent, _ error) bool {
			return i.Kind == snapshots.KindView
		},
		do:       (*History).forget,
		leftover: true,
	},
	{
		found: "its folder had been exchanged for the container's",
		holds: func(_ *tree, _ snapshots.Info, in snap.Intent, _ error) bool {
			return in.Kind == snap.Leave
		},
		do:       (*History).endIntent,
		leftover: true,
	},
	{
		// Not as long as the exchange has to be ended, for which it has to be known.
		found: "the container stands on it, or goes there no more",
		holds: func(t *tree, i snapshots.Info, in snap.Intent, _ error) bool {
			return in.Kind != "" && (t.inStack(i.Name) || in.Enters() && !in.Made) && !t.leaves()
		},
		do:       (*History).endIntent,
		leftover: true,
	},
	{
		found: "it was made for a move that was not carried out",
		holds: func(t *tree, i snapshots.Info, in snap.Intent, _ error) bool {
			return (in.Kind == snap.Made || in.Made) && !t.inStack(i.Name)
		},
		do:       (*History).unmake,
		leftover: true,
	},
}

func isCommitted(i snapshots.Info) bool { return i.Kind == snapshots.KindCommitted }

// leaves reports whether what the container wrote is being sealed, and it goes elsewhere.
func (t *tree) leaves() bool {
	for _, i := range t.all {
		if in, err := snap.IntentOf(i.Labels); err == nil && in.Kind == snap.Leave {
			return true
		}
	}
	return false
}

// cutShort returns what recovery finds first of a snapshot; "" if it finds nothing.
func (t *tree) cutShort(i snapshots.Info) (found string) {
	in, err := snap.IntentOf(i.Labels)
	for _, row := range recovery {
		if row.holds(t, i, in, err) {
			return row.found
		}
	}
	return ""
}

// settled reports whether recovery has nothing to do.
func (t *tree) settled() bool {
	if t.active == nil {
		return false
	}
	for _, i := range t.all {
		if t.cutShort(i) != "" {
			return false
		}
	}
	return true
}

// endExchange ends an exchange that may have been cut: it takes the container's active
// snapshot away if that has nothing any more, and otherwise the one that was to be sealed,
// if that has nothing. If neither has the mark it has been ended before.
func (h *History) endExchange(ctx context.Context, t *tree, i snapshots.Info, in snap.Intent) error {
	live, err := h.store().Upper(ctx, *t.active)
	if err != nil {
		return err
	}
	exchanged, err := snap.Marked(live, in.Mark)
	lost := errors.Is(err, fs.ErrNotExist)
	if err != nil && !lost {
		return err
	}
	if !exchanged {
		taken, err := h.isEmptied(ctx, i, in)
		if err != nil {
			return err
		}
		switch {
		case lost && taken:
			return lostFolder(live, "what the container wrote is lost")
		case taken:
			return h.forget(ctx, t, i, in)
		case !lost:
			return nil
		}
		// A power cut took the empty one: what the container wrote is sealed.
	}
	if err := h.Idle(ctx); err != nil {
		return err
	}
	t.active = nil
	return h.store().Remove(ctx, h.Container)
}

// isEmptied reports whether the folder of a snapshot that is to be sealed is the empty one.
func (h *History) isEmptied(ctx context.Context, i snapshots.Info, in snap.Intent) (bool, error) {
	folder, err := h.store().Folder(ctx, i)
	if err != nil {
		return false, err
	}
	return snap.Marked(folder, in.Mark)
}

// enter prepares the active snapshot on the one that the container is to stand on.
func (h *History) enter(ctx context.Context, t *tree, i snapshots.Info, in snap.Intent) error {
	stack, err := h.stackOf(ctx, t, i)
	if err != nil {
		return err
	}
	last := max(in.Last, t.last())
	labels := snap.With(stack.IDs.ActiveLabels(), map[string]string{label.Container: h.Container, label.Last: strconv.Itoa(last), label.Noted: "1"})
	if in.State != "" {
		labels[label.State], labels[label.RefState] = in.State, in.State
	}
	if in.Project != "" {
		labels[label.Project] = in.Project
	}
	if _, err := h.Snapshots.Prepare(h.store().Owned(ctx), h.Container, i.Name, snapshots.WithLabels(labels)); err != nil {
		return fmt.Errorf("prepare snapshot %s on it: %w", h.Container, err)
	}
	// containerd's own time is a little earlier, and later than that of all sealed ones.
	t.active = &snapshots.Info{Name: h.Container, Parent: i.Name, Labels: labels, Kind: snapshots.KindActive, Created: time.Now()}
	return nil
}

func (h *History) endIntent(ctx context.Context, _ *tree, i snapshots.Info, _ snap.Intent) error {
	return h.store().EndIntent(ctx, i)
}

// unmake removes what was made for a move.
func (h *History) unmake(ctx context.Context, t *tree, i snapshots.Info, in snap.Intent) error {
	name, isInit := strings.CutSuffix(i.Name, initSuffix)
	if !isInit {
		return h.forget(ctx, t, i, in)
	}
	for _, gone := range []string{name + snap.KeySuffix, name, i.Name} {
		delete(t.all, gone)
	}
	return h.Abandon(ctx, h.numberOf(i.Name))
}

// forget removes a snapshot that nobody needs.
func (h *History) forget(ctx context.Context, t *tree, i snapshots.Info, _ snap.Intent) error {
	delete(t.all, i.Name)
	return h.store().Remove(ctx, i.Name)
}
