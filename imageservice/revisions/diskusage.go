package revisions

import (
	"context"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// DiskUsage returns what the revisions of a container take on disk.
func (s *Store) DiskUsage(ctx context.Context, ctr *moby.Container) (containerstore.DiskUsage, error) {
	lock := s.Files.Locks.Of(ctr.ID)
	lock.RLock()
	defer lock.RUnlock()
	u, err := s.Files.History(ctr.ID, ctr.Driver).DiskUsage(ctx)
	if err != nil {
		return u, compat.DockerError(fmt.Errorf("measure the revisions of container %s: %w", ctr.ID, err))
	}
	return u, nil
}
