package revisions

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/layers"
)

// LoadLayer finds the writable layer of a container when the daemon loads the
// container, or tries again to: see [layers.Store.Load]. The state is as that of
// [Store.State].
//
// No container is lost for its files: together with an error there is a layer that
// cannot be mounted, and can be released.
func (s *Store) LoadLayer(ctx context.Context, ctr *moby.Container, initFunc moby.InitLayerFunc) (l moby.RWLayer, st *State, err error) {
	l, err = s.Layers.Load(ctx, ctr, initFunc, func(ctx context.Context) (err error) {
		st, err = s.state(ctx, ctr.ID)
		return err
	})
	return l, st, err
}

// GiveUpLost makes the folder of a container's active snapshot again if a power cut took
// it. What the container wrote since its last revision is lost then. It does so only if
// the folders of revision n are there, to which the container is to be rolled back; n is
// as in [RollbackOptions]. It reports whether it did so.
func (s *Store) GiveUpLost(ctx context.Context, ctr *moby.Container, n int, initFunc moby.InitLayerFunc) (bool, error) {
	how := layers.Remake(ctr, initFunc)
	if err := s.Files.Reopen(ctx, ctr.ID, how); !errdefs.IsDataLoss(err) {
		return false, err
	}
	m := &Move{s: s, ctr: ctr, history: s.Files.History(ctr.ID, ctr.Driver)}
	var err error
	if m.tree, err = m.history.View(ctx); err != nil {
		return false, err
	}
	target, err := m.target(ctx, n)
	if err != nil {
		return false, err
	}
	stack, err := m.history.Layers(ctx, target.Snapshot)
	if err != nil {
		return false, err
	}
	for _, folder := range slices.Concat(stack.Uppers, stack.Lowers) {
		if _, err := os.Lstat(folder); err != nil {
			return false, fmt.Errorf("revision %d: %w", target.Number, err)
		}
	}
	how.GiveUp = true
	if err := s.Files.Reopen(ctx, ctr.ID, how); err != nil {
		return false, err
	}
	return true, nil
}
