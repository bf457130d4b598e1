package imageservice

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/snapshotter"
)

// plan finds out what a merge would do.
func (m *Move) plan(ctx context.Context, merged *merge.Changes, policy Policy) error {
	return m.merging(merged, policy, func() error {
		_, err := merged.Walk(ctx, func(*changes.Change) error { return nil })
		return err
	})
}

// merging has what a merge does told in the plan.
func (m *Move) merging(merged *merge.Changes, policy Policy, run func() error) error {
	var stats merge.Stats
	merged.Decide, merged.Report, merged.Stats = policy.Decide, m.conflict, &stats
	err := run()
	m.count(stats)
	return err
}

// seal makes a merge a pending revision on a snapshot, which shares the data of the
// container's files where the file system can, and has copies of them otherwise.
func (m *Move) seal(ctx context.Context, merged *merge.Changes, policy Policy, r containerstore.Record, on string, previous int) error {
	err := m.merging(merged, policy, func() error {
		return m.history.Pending(ctx, r, on, previous, func(into []mount.Mount) error {
			to, err := changes.ParseOverlay(into, on != "")
			if err != nil {
				return err
			}
			return snapshotter.Durably(ctx, to.Uppers[0], func() (snapshotter.SealStats, error) {
				return snapshotter.SealWhole(ctx, merged, to.Uppers[0])
			})
		})
	})
	if err != nil {
		return errors.Join(err, m.history.Abandon(ctx, r.Number))
	}
	m.To = revision(containerstore.Revision{Record: r, Previous: previous})
	return nil
}
