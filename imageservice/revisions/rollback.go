package revisions

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/merge"
)

// RollbackOptions says to which revision a container goes, and how.
type RollbackOptions struct {
	// Revision is its number; 0 is the one before the last upgrade, or else
	// the last one that was made of the present state, or that it stands on.
	Revision int
	Message  string // of the revision that the present state becomes
	// Carry merges what the container changed since its last upgrade, or else
	// its last rollback, into the revision, as a new one. Conflicts are
	// decided by Policies.
	Carry    bool
	Policies Policies
	DryRun   bool // only plan; the container may be running
}

// PrepareRollback prepares to go to an earlier revision, or a later one again.
// For the rest it is as [Store.PrepareUpgrade].
func (s *Store) PrepareRollback(ctx context.Context, ctr *moby.Container, o RollbackOptions) (*Move, error) {
	m, ctx, err := s.move(ctx, "rollback", ctr, o.DryRun)
	if err == nil {
		err = m.prepared(m.rollback(ctx, o), o.DryRun)
	}
	if err != nil {
		return m.planOnly(err), compat.DockerError(fmt.Errorf("rollback container %s: %w", ctr.ID, err))
	}
	return m, nil
}

func (m *Move) rollback(ctx context.Context, o RollbackOptions) error {
	target, err := m.target(ctx, o.Revision)
	if err != nil {
		return err
	}
	to, err := stateFrom(target.Record)
	if err != nil {
		return err
	}
	m.Plan.Config = compat.ConfigChanges(m.ctr.Config, to.Config)
	if err := m.describe(ctx, to, o.Message, o.DryRun); err != nil {
		return err
	}
	m.To = revision(target)
	if !o.Carry {
		m.unnamed = o.Message == ""
		return nil
	}
	return m.carry(ctx, o, target)
}

// target finds the revision to go to.
func (m *Move) target(ctx context.Context, n int) (r containerstore.Revision, err error) {
	if n < 0 {
		return r, fmt.Errorf("revision %d: %w", n, errdefs.ErrInvalidArgument)
	}
	if n == 0 {
		if n, err = m.last(ctx); err != nil {
			return r, err
		}
	}
	return m.tree.Revision(ctx, n)
}

// last is the revision before the last upgrade of what the container is now, or
// else the nearest one.
func (m *Move) last(ctx context.Context) (int, error) {
	before, err := m.tree.Before(ctx, func(r containerstore.Record) bool { return r.Kind == string(api.KindUpgrade) })
	if before > 0 || err != nil {
		return before, err
	}
	nearest := m.tree.Nearest()
	if nearest == 0 {
		return 0, containerstore.ErrNoPreviousRevision
	}
	return nearest, nil
}

// carry merges what the container changed since its last upgrade into another
// revision. What it was right after that is the old image of the merge.
func (m *Move) carry(ctx context.Context, o RollbackOptions, target containerstore.Revision) error {
	own, _, err := m.mergeable(ctx, o.DryRun)
	if err != nil {
		return err
	}
	since, err := m.tree.Since(ctx, func(r containerstore.Record) bool {
		return r.Kind == string(api.KindUpgrade) || r.Kind == string(api.KindCarry)
	})
	if err != nil {
		return err
	}
	if since < len(own.Uppers) {
		own.Lowers = append(own.Uppers[since:len(own.Uppers):len(own.Uppers)], own.Lowers...)
		own.Uppers, own.Init = own.Uppers[:since], false
	}
	merge := &merge.Changes{Container: own}
	layers, err := m.history.Layers(ctx, target.Snapshot)
	if err != nil {
		return err
	}
	merge.New = layers.Lowers
	if o.DryRun {
		return m.plan(ctx, merge, o.Policies)
	}
	r, err := m.State.record(api.KindCarry, fmt.Sprintf("revision %d with the changes of revision %d", target.Number, m.before.Number))
	if err != nil {
		return err
	}
	m.pending, r.Number = m.before.Number+1, m.before.Number+1
	return m.seal(ctx, merge, o.Policies, r, target.Snapshot, target.Number)
}
