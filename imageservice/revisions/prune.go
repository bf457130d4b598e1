package revisions

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// PruneRevisions removes revisions of a container, as the request says. The one that the
// container stands on stays.
func (s *Store) PruneRevisions(ctx context.Context, ctr *moby.Container, r api.PruneRequest) (api.PruneReport, error) {
	report, err := s.pruneRevisions(ctx, ctr, r)
	if err != nil {
		return api.PruneReport{}, compat.DockerError(fmt.Errorf("prune revisions of container %s: %w", ctr.ID, err))
	}
	return report, nil
}

// errCollect has containerd collect at once what an operation gave up.
var errCollect = errors.New("collect garbage")

func (s *Store) pruneRevisions(ctx context.Context, ctr *moby.Container, r api.PruneRequest) (_ api.PruneReport, err error) {
	end, err := s.Files.Locks.Take(ctr.ID)
	if err != nil {
		return api.PruneReport{}, err
	}
	defer end()
	ctx, release, err := s.Files.Operations.Begin(ctx, "prune", ctr.ID, false)
	if err != nil {
		return api.PruneReport{}, err
	}
	defer release(errCollect)
	// Not with the lock held: see WhileIdle.
	stopped := !ctr.IsRunning()
	lock := s.Files.Locks.Of(ctr.ID)
	lock.Lock()
	defer lock.Unlock()
	if s.Files.Locks.Readers(ctr.ID) > 0 {
		return api.PruneReport{}, fmt.Errorf("a commit or diff of it is under way: %w", errdefs.ErrConflict)
	}
	mounted, err := s.Files.Mounted(ctr.ID)
	if err != nil {
		return api.PruneReport{}, err
	}
	pruned, err := s.Files.History(ctr.ID, ctr.Driver).Prune(ctx, containerstore.Retention{Keep: r.Keep, OlderThan: r.OlderThan, Merge: stopped && !mounted})
	if err != nil {
		return api.PruneReport{}, err
	}
	return api.PruneReport{Removed: pruned.Removed, SpaceReclaimed: pruned.Bytes, SpaceHeld: pruned.Held}, nil
}
