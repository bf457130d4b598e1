package image

import (
	"context"

	"github.com/baleen-project/baleen/compat"
)

// KeepPaused says in containerd that a container may be frozen, until end is called: if
// the daemon is killed before that, the next one thaws the container. Each operation that
// freezes says so of itself; this is for who goes on with a container frozen when the
// operation is over. The context ends when the daemon shuts down, too.
func (s *Store) KeepPaused(ctx context.Context, id string) (_ context.Context, end func(error), _ error) {
	ctx, end, err := s.Files.Operations.Begin(ctx, "checkpoint", id, true)
	if err != nil {
		return nil, nil, compat.DockerError(err)
	}
	return ctx, end, nil
}
