package revisions

import (
	"context"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// Revisions lists the kept states of a container, the oldest first.
func (s *Store) Revisions(ctx context.Context, ctr *moby.Container) ([]api.Revision, error) {
	lock := s.Files.Locks.Of(ctr.ID)
	lock.RLock()
	defer lock.RUnlock()
	list, err := s.Files.History(ctr.ID, ctr.Driver).List(ctx)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("list revisions of container %s: %w", ctr.ID, err))
	}
	revisions := make([]api.Revision, len(list))
	for i, r := range list {
		revisions[i] = revision(r)
	}
	return revisions, nil
}
